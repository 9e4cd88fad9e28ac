using RepVgg.Architectures;
using RepVgg.Optimizers;
using RepVgg.Training;
using RepVgg.Training.Data;

namespace RepVgg.Testing;

/// <summary>A task of segmentation that a small network learns in seconds.</summary>
internal static class SyntheticMasks
{
    public const int Side = 24, Classes = 3;
    public const byte Ignored = 255;

    public static Normalization Normalization { get; } = new([100, 100, 100], [0.02f, 0.02f, 0.02f]);

    public static PspNetArchitecture Architecture { get; } = PspNetArchitecture.Create(SyntheticTask.Architecture with { InputChannels = 3, OutputStride = 2 }, Classes) with { HeadWidth = 16, AuxiliaryWidth = 8, Bins = [1, 2] };

    public static TrainingOptions Options { get; } = new()
    {
        Epochs = 6,
        BatchSize = 8,
        LearningRate = 0.1f,
        AuxiliaryLossWeight = 0.4f,
        Dropout = 0.1f,
        MonitoredMetric = TrainingMetric.MeanIoU,
        Optimizer = new SgdOptions(),
        SegmentationAugmentation = new SegmentationAugmentation { MinimumScale = 0.8, MaximumScale = 1.25 },
    };

    /// <summary>A bright and a dark rectangle before a grey ground; the pixels at the border of the image are not labelled.</summary>
    public static MaskedSamples Samples(int count, int seed, int height = Side, int width = Side, bool isLabelled = true)
    {
        var random = new Random(seed);
        var images = Cache(3);
        var masks = Cache(1);
        for (int i = 0; i < count; i++)
        {
            byte[] image = new byte[3 * height * width], mask = new byte[height * width];
            for (int p = 0; p < image.Length; p++)
                image[p] = (byte)random.Next(90, 120);
            for (byte label = 1; label < Classes; label++)
            {
                int top = random.Next(height / 2), left = random.Next(width / 2), bottom = top + random.Next(4, height / 2), right = left + random.Next(4, width / 2);
                for (int y = top; y < bottom; y++)
                {
                    for (int x = left; x < right; x++)
                    {
                        mask[y * width + x] = label;
                        for (int c = 0; c < 3; c++)
                            image[(c * height + y) * width + x] = (byte)(label == 1 ? random.Next(180, 220) : random.Next(10, 40));
                    }
                }
            }
            for (int p = 0; p < mask.Length; p++)
            {
                if (!isLabelled || p / width is 0 || p / width == height - 1 || p % width is 0 || p % width == width - 1)
                    mask[p] = Ignored;
            }
            images.Add(new WholeImage(image, height, width), [], 0, i);
            masks.Add(new WholeImage(mask, height, width), [], 0, i);
        }
        return new MaskedSamples(images, masks, Classes, Ignored);

        static WholeImageCache Cache(int channels) => new(channels, Side, Side, 1, (_, _, _, _) => throw new NotSupportedException());
    }
}
