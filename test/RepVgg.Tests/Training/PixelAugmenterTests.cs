using System.Numerics;
using RepVgg.Runtime;
using RepVgg.Training;
using RepVgg.Training.Augmentations;
using Xunit;

namespace RepVgg.Tests.Training;

public class PixelAugmenterTests
{
    private const int Height = 24, Width = 30;
    private static readonly byte[] _fill = [11, 130, 200];

    public static TheoryData<RandAugmentOperations> SingleOperations => [.. Enum.GetValues<RandAugmentOperations>().Where(operation => BitOperations.IsPow2((int)operation))];

    private static byte[] Pixels(int channels, int height, int width)
    {
        byte[] pixels = new byte[channels * height * width];
        new Random(7).NextBytes(pixels);
        return pixels;
    }

    private static RandomStream Stream(int index) => new(5, RandomStream.Purpose.Augment, 1, (ulong)index);

    private static byte[] Augment(Augmentation augmentation, byte[] pixels, int index, byte[]? fill = null)
    {
        var random = Stream(index);
        return new PixelAugmenter(augmentation, fill ?? _fill, Height, Width).Augment(pixels, Height, Width, ref random).ToArray();
    }

    /// <summary>Saturation does not change grey images, so it is not drawn for them.</summary>
    [Fact]
    public void Grey_images_have_no_operation_on_colours()
    {
        byte[] pixels = Pixels(1, Height, Width);
        for (int i = 0; i < 30; i++)
        {
            byte[] all = Augment(new Augmentation { RandAugment = new RandAugment { Operations = RandAugmentOperations.All } }, pixels, i, [100]);
            Assert.Equal(Augment(new Augmentation { RandAugment = new RandAugment { Operations = RandAugmentOperations.All & ~RandAugmentOperations.Color } }, pixels, i, [100]), all);
            Assert.Equal(Height * Width, all.Length);
            Assert.Equal(pixels, Augment(new Augmentation { RandAugment = new RandAugment { Operations = RandAugmentOperations.Color } }, pixels, i, [100]));
        }
    }

    [Theory]
    [InlineData(300, 200)]
    [InlineData(64, 64)]
    public void Rectangles_have_the_announced_areas_and_ratios(int width, int height)
    {
        const int Count = 2000;
        var options = new RandomResizedCrop();
        double areas = 0;
        for (int i = 0; i < Count; i++)
        {
            var random = Stream(i);
            var crop = PixelAugmenter.Draw(options, height, width, ref random);
            Assert.True(crop.Left >= 0 && crop.Top >= 0 && crop.Left + crop.Width <= width && crop.Top + crop.Height <= height, crop.ToString());
            double area = (double)crop.Width * crop.Height / (width * height), ratio = (double)crop.Width / crop.Height;
            // Rounded to whole pixels.
            Assert.InRange(area, 0.07, 1.03);
            Assert.InRange(ratio, 0.7, 1.43);
            areas += area;
        }
        // Uniform from 0.08 to 1 and, in logarithms, from 3/4 to 4/3, as far as the rectangle fits.
        const int Steps = 300;
        double sum = 0, fitting = 0;
        for (int a = 0; a < Steps; a++)
        {
            for (int r = 0; r < Steps; r++)
            {
                double area = 0.08 + 0.92 * (a + 0.5) / Steps, ratio = 0.75 * Math.Pow(16.0 / 9, (r + 0.5) / Steps);
                if (Math.Sqrt(area * ratio * width * height) > width || Math.Sqrt(area / ratio * width * height) > height)
                    continue;
                sum += area;
                fitting++;
            }
        }
        // The standard deviation of a mean of 2,000 areas is 0.006.
        Assert.InRange(areas / Count, sum / fitting - 0.03, sum / fitting + 0.03);
    }

    [Fact]
    public void Of_an_image_in_which_no_rectangle_fits_the_centre_is_taken()
    {
        var options = new RandomResizedCrop { MinimumScale = 0.9 };
        var random = Stream(0);
        Assert.Equal(new CropRectangle(43, 0, 13, 10), PixelAugmenter.Draw(options, 10, 100, ref random));
        Assert.Equal(new CropRectangle(0, 43, 10, 13), PixelAugmenter.Draw(options, 100, 10, ref random));
    }

    [Fact]
    public void A_crop_of_the_whole_image_is_the_resized_image()
    {
        var options = new Augmentation { RandomResizedCrop = new RandomResizedCrop { MinimumScale = 1, MinimumRatio = 50.0 / 40, MaximumRatio = 50.0 / 40 } };
        byte[] pixels = Pixels(3, 40, 50);
        var resized = new PlanarImage();
        resized.Reset(3, Height, Width);
        new BilinearResizer().Resize(pixels, 3, 40, 50, new CropRectangle(0, 0, 50, 40), resized);
        var random = Stream(3);
        Assert.Equal(resized.Pixels.ToArray(), new PixelAugmenter(options, _fill, Height, Width).Augment(pixels, 40, 50, ref random).ToArray());
    }

    /// <summary>Applies each operation alone, with a fixed magnitude, and compares with the operation at the level that timm defines, for both signs.</summary>
    [Theory]
    [MemberData(nameof(SingleOperations))]
    public void An_operation_is_applied_at_the_level_of_timm(RandAugmentOperations operation)
    {
        if (operation == RandAugmentOperations.Cutout)
            return;
        byte[] pixels = Pixels(3, Height, Width);
        var options = new Augmentation { RandAugment = new RandAugment { Operations = operation, OperationsPerImage = 1, Probability = 1, Magnitude = 7, MagnitudeDeviation = 0 } };
        var tones = new ToneOperations();
        var affine = new AffineOperations();
        var results = new HashSet<string>();
        for (int i = 0; i < 20; i++)
            results.Add(Convert.ToHexString(Augment(options, pixels, i)));
        var expected = new HashSet<string>();
        foreach (int sign in new[] { 1, -1 })
        {
            var image = new PlanarImage();
            image.Set(pixels, 3, Height, Width);
            switch (operation)
            {
                case RandAugmentOperations.AutoContrast: tones.AutoContrast(image); break;
                case RandAugmentOperations.Equalize: tones.Equalize(image); break;
                case RandAugmentOperations.Invert: ToneOperations.Invert(image); break;
                case RandAugmentOperations.Rotate: affine.Rotate(image, sign * 21.0, _fill); break;
                case RandAugmentOperations.Posterize: ToneOperations.Posterize(image, 2); break;
                case RandAugmentOperations.Solarize: tones.Solarize(image, 77); break;
                case RandAugmentOperations.SolarizeAdd: tones.SolarizeAdd(image, 77); break;
                case RandAugmentOperations.Color: tones.Color(image, sign > 0 ? 1.63f : 0.37f); break;
                case RandAugmentOperations.Contrast: tones.Contrast(image, sign > 0 ? 1.63f : 0.37f); break;
                case RandAugmentOperations.Brightness: tones.Brightness(image, sign > 0 ? 1.63f : 0.37f); break;
                case RandAugmentOperations.Sharpness: tones.Sharpness(image, sign > 0 ? 1.63f : 0.37f); break;
                case RandAugmentOperations.ShearX: affine.ShearX(image, sign * 0.3 * 0.7, _fill); break;
                case RandAugmentOperations.ShearY: affine.ShearY(image, sign * 0.3 * 0.7, _fill); break;
                case RandAugmentOperations.TranslateX: affine.TranslateX(image, sign * 0.45 * 0.7, _fill); break;
                case RandAugmentOperations.TranslateY: affine.TranslateY(image, sign * 0.45 * 0.7, _fill); break;
                default: Assert.Fail(operation.ToString()); break;
            }
            expected.Add(Convert.ToHexString(image.Pixels));
        }
        Assert.Equal(expected.Order(), results.Order());
    }

    [Fact]
    public void Cutout_replaces_a_square_by_the_mean_colour()
    {
        byte[] pixels = Pixels(3, Height, Width);
        var options = new Augmentation { RandAugment = new RandAugment { Operations = RandAugmentOperations.Cutout, OperationsPerImage = 1, Probability = 1, Magnitude = 10, MagnitudeDeviation = 0 } };
        bool isWhole = false;
        for (int i = 0; i < 30; i++)
        {
            byte[] result = Augment(options, pixels, i);
            int[] changed = [.. Enumerable.Range(0, Height * Width).Where(p => Enumerable.Range(0, 3).Any(c => result[c * Height * Width + p] != pixels[c * Height * Width + p]))];
            Assert.All(changed, p => Assert.All(Enumerable.Range(0, 3), c => Assert.Equal(_fill[c], result[c * Height * Width + p])));
            // 80/224 of 24 pixels are 9; less at a border.
            Assert.InRange(changed.Length, 1, 9 * 9);
            isWhole |= changed.Length == 9 * 9;
        }
        Assert.True(isWhole);
    }

    [Fact]
    public void Magnitudes_are_normally_distributed_and_limited_or_uniform()
    {
        // An image of one value v below 128: SolarizeAdd gives v + floor(110 L).
        byte[] flat = new byte[3 * Height * Width];
        double[] Levels(RandAugment options) => [.. Enumerable.Range(0, 2000).Select(i => Augment(new Augmentation { RandAugment = options with { Operations = RandAugmentOperations.SolarizeAdd, OperationsPerImage = 1, Probability = 1 } }, flat, i)[0] / 110.0)];

        double[] normal = Levels(new RandAugment { Magnitude = 5, MagnitudeDeviation = 1 });
        Assert.InRange(normal.Average(), 0.48, 0.51);
        Assert.InRange(Math.Sqrt(normal.Average(x => x * x) - Math.Pow(normal.Average(), 2)), 0.09, 0.11);
        double[] limited = Levels(new RandAugment { Magnitude = 10, MagnitudeDeviation = 1 });
        Assert.Equal(1, limited.Max());
        Assert.InRange(limited.Count(x => x == 1), 900, 1100);
        double[] uniform = Levels(new RandAugment { Magnitude = 10, MagnitudeDeviation = double.PositiveInfinity });
        Assert.InRange(uniform.Average(), 0.48, 0.52);
        Assert.InRange(uniform.Count(x => x < 0.25), 400, 600);
    }

    [Fact]
    public void Operations_are_applied_with_their_probability()
    {
        byte[] pixels = Pixels(3, Height, Width);
        var invert = new RandAugment { Operations = RandAugmentOperations.Invert, OperationsPerImage = 1, Probability = 0.3 };
        int inverted = Enumerable.Range(0, 1000).Count(i => Augment(new Augmentation { RandAugment = invert }, pixels, i)[0] != pixels[0]);
        // Binomial(1000, 0.3): five standard deviations are 72.
        Assert.InRange(inverted, 228, 372);
    }

    [Fact]
    public void Grey_images_have_no_operations_on_colours()
    {
        byte[] grey = Pixels(1, Height, Width);
        var options = new Augmentation
        {
            ColorJitter = new ColorJitter { Saturation = 1 },
            RandAugment = new RandAugment { Operations = RandAugmentOperations.Color, Probability = 1 },
        };
        Assert.Equal(grey, Augment(options, grey, 1, [100]));
    }

    [Fact]
    public void Colour_jitter_changes_brightness_contrast_and_saturation_in_random_order()
    {
        byte[] pixels = Pixels(3, Height, Width);
        var brightness = new Augmentation { ColorJitter = new ColorJitter { Brightness = 0.4 } };
        double mean = pixels.Average(value => value);
        double[] factors = [.. Enumerable.Range(0, 300).Select(i => Augment(brightness, pixels, i).Average(value => value) / mean)];
        // Values above 255 are cut off, so that the largest factors have less effect.
        Assert.InRange(factors.Min(), 0.58, 0.64);
        Assert.InRange(factors.Max(), 1.2, 1.4);
        var all = new Augmentation { ColorJitter = new ColorJitter { Brightness = 0.4, Contrast = 0.4, Saturation = 0.4 } };
        Assert.Equal(50, Enumerable.Range(0, 50).Select(i => Convert.ToHexString(Augment(all, pixels, i))).Distinct().Count());
        Assert.Equal(Augment(all, pixels, 9), Augment(all, pixels, 9));

        // The hue is uniform around that of the image: of green pixels with a shift of up to a quarter of the circle, every hue between orange and blue.
        byte[] green = [.. Enumerable.Range(0, 3 * Height * Width).Select(i => (byte)(i / (Height * Width) == 1 ? 200 : 0))];
        var hue = new Augmentation { ColorJitter = new ColorJitter { Hue = 0.25 } };
        double[] balance = [.. Enumerable.Range(0, 300).Select(i => Augment(hue, green, i)).Select(image => (image[0] - image[^1]) / 200.0)];
        Assert.InRange(balance.Average(), -0.1, 0.1);
        Assert.InRange(balance.Max(), 0.9, 1);
        Assert.InRange(balance.Min(), -1, -0.9);

        // The standard deviation of the share is 0.026.
        var rare = new Augmentation { ColorJitter = new ColorJitter { Brightness = 0.4, Probability = 0.3 } };
        Assert.InRange(Enumerable.Range(0, 300).Count(i => !Augment(rare, pixels, i).SequenceEqual(pixels)) / 300.0, 0.2, 0.4);
    }
}
