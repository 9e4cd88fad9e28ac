using RepVgg.Architectures;
using RepVgg.Runtime;
using RepVgg.Training;
using Xunit;

namespace RepVgg.Tests.Training;

public class ImageAugmenterTests
{
    private const int Channels = 3, Height = 6, Width = 7, Length = Channels * Height * Width;
    private static readonly Normalization _normalization = new([10, 20, 30], [0.5f, 0.25f, 2]);

    /// <summary>Every value is unique and none is 0, so that the source of each output pixel can be determined.</summary>
    private static readonly float[] _image = [.. Enumerable.Range(1, Length).Select(i => (float)i)];

    private static float[] Augment(Augmentation augmentation, ulong sample)
    {
        var output = new float[Length];
        new ImageAugmenter(augmentation, _normalization, Channels, Height, Width)
            .Augment(_image, output, new RandomStream(1, RandomStream.Purpose.Augment, 1, sample));
        return output;
    }

    /// <summary>The slow definition: out[y, x] = padded image[y + dy, x' + dx], x' mirrored or not, then normalised.</summary>
    private static float[] Expected(int dy, int dx, bool mirror)
    {
        var output = new float[Length];
        for (int c = 0; c < Channels; c++)
        {
            for (int y = 0; y < Height; y++)
            {
                for (int x = 0; x < Width; x++)
                {
                    int sy = y + dy, sx = (mirror ? Width - 1 - x : x) + dx;
                    float raw = sy >= 0 && sy < Height && sx >= 0 && sx < Width ? _image[(c * Height + sy) * Width + sx] : 0;
                    output[(c * Height + y) * Width + x] = (raw - _normalization.Mean[c]) * _normalization.Scale[c];
                }
            }
        }
        return output;
    }

    [Fact]
    public void Plain_only_normalises()
    {
        var output = new float[Length];
        new ImageAugmenter(new() { HorizontalFlip = true, CropPadding = 2, ErasingProbability = 1 }, _normalization, Channels, Height, Width).Convert(_image, output);
        Assert.Equal(Expected(0, 0, false), output);
        Assert.Equal(output, Augment(Augmentation.None, 3));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(16)]
    [InlineData(37)]
    public void Bytes_give_the_bits_of_the_same_pixels_as_floats(int width)
    {
        const int Rows = 3;
        byte[] bytes = new byte[Channels * Rows * width];
        new Random(width).NextBytes(bytes);
        float[] floats = Array.ConvertAll(bytes, pixel => (float)pixel), fromBytes = new float[bytes.Length], fromFloats = new float[bytes.Length];
        var augmentation = new Augmentation { HorizontalFlip = true, CropPadding = Math.Min(2, width - 1), ErasingProbability = 0.3 };
        var augmenter = new ImageAugmenter(augmentation, _normalization, Channels, Rows, width);
        augmenter.Convert<byte>(bytes, fromBytes);
        augmenter.Convert<float>(floats, fromFloats);
        Assert.Equal(floats.Select((pixel, i) => (pixel - _normalization.Mean[i / (Rows * width)]) * _normalization.Scale[i / (Rows * width)]), fromFloats);
        Assert.Equal(fromFloats, fromBytes);
        for (ulong i = 0; i < 50; i++)
        {
            augmenter.Augment(bytes, Rows, width, fromBytes, new RandomStream(1, RandomStream.Purpose.Augment, 1, i));
            augmenter.Augment(floats, fromFloats, new RandomStream(1, RandomStream.Purpose.Augment, 1, i));
            Assert.Equal(fromFloats, fromBytes);
        }
    }

    [Fact]
    public void Flips_about_half_of_the_images()
    {
        int flipped = 0;
        for (ulong i = 0; i < 1000; i++)
        {
            var output = Augment(new() { HorizontalFlip = true }, i);
            bool mirror = output[0] == Expected(0, 0, true)[0];
            Assert.Equal(Expected(0, 0, mirror), output);
            flipped += mirror ? 1 : 0;
        }
        // Binomial(1000, 1/2): five standard deviations are 79.
        Assert.InRange(flipped, 421, 579);
    }

    [Fact]
    public void Flips_top_to_bottom_independently_of_left_to_right()
    {
        var counts = new Dictionary<string, int>();
        for (ulong i = 0; i < 1000; i++)
        {
            string output = string.Join(",", Augment(new() { HorizontalFlip = true, VerticalFlip = true }, i));
            counts[output] = counts.GetValueOrDefault(output) + 1;
        }
        foreach (bool mirror in new[] { false, true })
        {
            float[] upright = Expected(0, 0, mirror);
            float[] upsideDown = [.. Enumerable.Range(0, Length).Select(i => upright[(i / (Height * Width) * Height + Height - 1 - i / Width % Height) * Width + i % Width])];
            // Binomial(1000, 1/4): five standard deviations are 69.
            Assert.InRange(counts[string.Join(",", upright)], 181, 319);
            Assert.InRange(counts[string.Join(",", upsideDown)], 181, 319);
        }
        Assert.Equal(4, counts.Count);
    }

    [Fact]
    public void Crops_every_window_of_the_padded_image()
    {
        const int Padding = 2;
        var windows = new Dictionary<string, int>();
        for (int dy = -Padding; dy <= Padding; dy++)
        {
            for (int dx = -Padding; dx <= Padding; dx++)
            {
                foreach (bool mirror in new[] { false, true })
                    windows[string.Join(",", Expected(dy, dx, mirror))] = 0;
            }
        }
        Assert.Equal(50, windows.Count);
        for (ulong i = 0; i < 5000; i++)
        {
            string output = string.Join(",", Augment(new() { CropPadding = Padding, HorizontalFlip = true }, i));
            Assert.True(windows.ContainsKey(output), "The output is no window of the padded image.");
            windows[output]++;
        }
        // 100 expected each; five standard deviations are 50.
        Assert.All(windows.Values, count => Assert.InRange(count, 50, 150));
    }

    [Fact]
    public void Erases_one_rectangle_of_the_announced_size()
    {
        var plain = Expected(0, 0, false);
        int erased = 0;
        for (ulong i = 0; i < 400; i++)
        {
            var output = Augment(new() { ErasingProbability = 0.5 }, i);
            var changed = Enumerable.Range(0, Length).Where(p => output[p] != plain[p]).ToList();
            if (changed.Count == 0)
                continue;
            erased++;
            Assert.All(changed, p => Assert.Equal(0f, output[p]));
            int top = changed.Min(p => p / Width % Height), bottom = changed.Max(p => p / Width % Height);
            int left = changed.Min(p => p % Width), right = changed.Max(p => p % Width);
            int area = (bottom - top + 1) * (right - left + 1);
            Assert.InRange(area, 1, Height * Width / 2);
            // A pixel that equals the mean already looks unchanged, so count zeros in the rectangle, not changes.
            for (int c = 0; c < Channels; c++)
            {
                for (int y = top; y <= bottom; y++)
                {
                    for (int x = left; x <= right; x++)
                        Assert.Equal(0f, output[(c * Height + y) * Width + x]);
                }
            }
        }
        Assert.InRange(erased, 150, 250);
    }

    [Fact]
    public void Depends_on_the_key_alone()
    {
        var augmentation = new Augmentation { HorizontalFlip = true, CropPadding = 2, ErasingProbability = 0.5 };
        Assert.Equal(Augment(augmentation, 5), Augment(augmentation, 5));
        Assert.True(Enumerable.Range(0, 20).Select(i => string.Join(",", Augment(augmentation, (ulong)i))).Distinct().Count() > 15);
    }
}
