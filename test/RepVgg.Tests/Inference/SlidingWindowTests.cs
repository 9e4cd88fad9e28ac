using RepVgg.Inference;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tests.Inference;

public class SlidingWindowTests
{
    private const int Height = 33, Width = 41, Classes = 4;

    private static readonly global::RepVgg.Networks.SegmentationNetwork _network = RandomSegmentation.Create(RandomSegmentation.Architecture(Classes, 8, 1, 2), Height, Width);

    private static byte[] Image(int height, int width)
    {
        byte[] image = new byte[3 * height * width];
        new Random(5).NextBytes(image);
        return image;
    }

    [Fact]
    public void An_image_of_the_input_size_has_the_mask_of_one_run()
    {
        using var engine = new SegmentationEngine(_network, threads: 1);
        byte[] image = Image(Height, Width), expected = new byte[Height * Width], mask = new byte[expected.Length];
        engine.Run(image, 1, expected);
        new SlidingWindow(engine, _network.Normalization).Run(image, Height, Width, mask);
        Assert.Equal(expected, mask);
    }

    [Theory]
    [InlineData(60, 90, 1.0 / 3)]
    [InlineData(34, 41, 0.0)]
    [InlineData(20, 100, 0.5)]
    [InlineData(9, 7, 1.0 / 3)]
    public void Averages_the_probabilities_of_all_windows(int height, int width, double overlap)
    {
        using var engine = new SegmentationEngine(_network, threads: 1);
        byte[] image = Image(height, width), mask = new byte[height * width];
        new SlidingWindow(engine, _network.Normalization, overlap).Run(image, height, width, mask);

        double[,,] sums = new double[Classes, height, width];
        bool[,] isCovered = new bool[height, width];
        foreach (int top in Tops(height, Height))
        {
            foreach (int left in Tops(width, Width))
            {
                byte[] window = new byte[engine.InputLength];
                for (int i = 0; i < window.Length; i++)
                {
                    int c = i / (Height * Width), y = top + i / Width % Height, x = left + i % Width;
                    window[i] = y >= 0 && y < height && x >= 0 && x < width ? image[(c * height + y) * width + x] : (byte)Math.Clamp(Math.Round(_network.Normalization.Mean[c]), 0, 255);
                }
                float[] logits = new float[Classes * engine.MaskLength];
                engine.RunLogits(window, 1, logits);
                for (int i = 0; i < engine.MaskLength; i++)
                {
                    int y = top + i / Width, x = left + i % Width;
                    if (y < 0 || y >= height || x < 0 || x >= width)
                        continue;
                    isCovered[y, x] = true;
                    double total = Enumerable.Range(0, Classes).Sum(c => Math.Exp(logits[c * engine.MaskLength + i]));
                    for (int c = 0; c < Classes; c++)
                        sums[c, y, x] += Math.Exp(logits[c * engine.MaskLength + i]) / total;
                }
            }
        }
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                Assert.True(isCovered[y, x]);
                double best = Enumerable.Range(0, Classes).Max(c => sums[c, y, x]);
                Assert.True(sums[mask[y * width + x], y, x] >= best - 1e-4, $"pixel {x}, {y}");
            }
        }

        IEnumerable<int> Tops(int length, int window)
        {
            if (length <= window)
                return [-((window - length) / 2)];
            var tops = new List<int>();
            for (int at = 0; at < length - window; at += (int)Math.Ceiling(window * (1 - overlap)))
                tops.Add(at);
            return [.. tops, length - window];
        }
    }

    [Fact]
    public void Wrong_arguments_are_refused()
    {
        using var engine = new SegmentationEngine(_network, threads: 1);
        foreach (double overlap in (double[])[-0.1, 0.95, double.NaN])
            Assert.Throws<ArgumentOutOfRangeException>(() => new SlidingWindow(engine, _network.Normalization, overlap));
        var windows = new SlidingWindow(engine, _network.Normalization);
        Assert.Contains("50x40", Assert.Throws<ArgumentException>(() => windows.Run(new byte[7], 40, 50, new byte[2000])).Message, StringComparison.Ordinal);
        Assert.Throws<OperationCanceledException>(() => windows.Run(Image(40, 50), 40, 50, new byte[2000], new CancellationToken(canceled: true)));
    }
}
