using Microsoft.ML;
using Microsoft.ML.RepVgg;
using RepVgg.Architectures;
using RepVgg.Training;
using SkiaSharp;

namespace RepVgg.Samples.Web.Tests;

/// <summary>A task that a tiny network learns at once: images of one colour, with noise.</summary>
internal static class Pictures
{
    private const int Size = 16;

    public static readonly string[] Labels = ["red", "green", "blue", "yellow", "cyan", "magenta"];

    private static readonly SKColor[] _colours = [SKColors.Red, SKColors.Lime, SKColors.Blue, SKColors.Yellow, SKColors.Cyan, SKColors.Magenta];

    /// <summary>Makes a PNG file.</summary>
    public static byte[] Png(int label, int seed = 1, int width = 24, int height = 20)
    {
        var random = new Random(seed);
        using var bitmap = new SKBitmap(width, height, SKColorType.Rgba8888, SKAlphaType.Opaque);
        var pixels = new SKColor[width * height];
        foreach (ref var pixel in pixels.AsSpan())
        {
            byte Channel(byte value) => (byte)Math.Clamp(value + random.Next(-90, 91), 0, 255);
            pixel = new SKColor(Channel(_colours[label].Red), Channel(_colours[label].Green), Channel(_colours[label].Blue));
        }
        bitmap.Pixels = pixels;
        return Encode(bitmap);
    }

    /// <summary>Makes a PNG file of one colour, for large images.</summary>
    public static byte[] Plain(int width, int height)
    {
        using var bitmap = new SKBitmap(width, height, SKColorType.Rgba8888, SKAlphaType.Opaque);
        bitmap.Erase(SKColors.Red);
        return Encode(bitmap);
    }

    /// <summary>Trains a classifier and saves it.</summary>
    public static void Train(string path, int seed)
    {
        var context = new MLContext(seed);
        var rows = Enumerable.Range(0, 60).Select(i => new Row { Image = Png(i % Labels.Length, 100 + i), Label = Labels[i % Labels.Length] });
        var data = context.Data.LoadFromEnumerable(rows.ToList());
        var options = new RepVggTrainer.Options
        {
            FeatureColumnName = nameof(Row.Image),
            Architecture = new RepVggArchitecture { Name = "Tiny", Stages = [new("stage0", 8, 1, 1), new("stage1", 8, 1, 2), new("stage2", 16, 1, 2)], DefaultImageSize = Size },
            ImageHeight = Size,
            Epochs = 4,
            BatchSize = 12,
            LearningRate = 0.05f,
            ValidationSetFraction = 0,
            Augmentation = Augmentation.None,
            Seed = seed,
        };
        var pipeline = context.Transforms.Conversion.MapValueToKey("Label").Append(context.MulticlassClassification.Trainers.RepVgg(options));
        using var model = pipeline.Fit(data);
        context.Model.SaveRepVgg(model, data.Schema, path);
    }

    /// <summary>Scores images with a saved model, in one data view.</summary>
    /// <returns>For each image, the probability of each class.</returns>
    public static List<Dictionary<string, float>> Score(string path, IEnumerable<byte[]> images)
    {
        var context = new MLContext();
        using var model = context.Model.LoadRepVgg(path, out _);
        var classifier = model.OfType<RepVggTransformer>().Single();
        var data = context.Data.LoadFromEnumerable(images.Select(image => new Row { Image = image }));
        return [.. context.Data.CreateEnumerable<Scores>(classifier.Transform(data), reuseRowObject: false).Select(row => row.Score.Index().ToDictionary(score => classifier.Labels[score.Index], score => score.Item))];
    }

    private static byte[] Encode(SKBitmap bitmap)
    {
        using var data = bitmap.Encode(SKEncodedImageFormat.Png, 100);
        return data.ToArray();
    }

    private sealed class Row
    {
        public byte[] Image { get; set; } = [];

        public string Label { get; set; } = "";
    }

    private sealed class Scores
    {
        public float[] Score { get; set; } = [];
    }
}
