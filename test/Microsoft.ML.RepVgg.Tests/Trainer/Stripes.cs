using Microsoft.ML.Data;
using RepVgg.Architectures;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>A task that a tiny network learns at once: stripes that run across, down, or slanting, in noise.</summary>
internal static class Stripes
{
    public const int Size = 12;
    public const int Channels = 1;

    public static readonly string[] Names = ["across", "down", "slanting"];

    public static RepVggArchitecture Tiny { get; } = new()
    {
        Name = "Tiny",
        InputChannels = Channels,
        Stages = [new("stage0", 8, 1, 1), new("stage1", 8, 2, 2), new("stage2", 16, 1, 2)],
        DefaultImageSize = Size,
    };

    public sealed class Row
    {
        public string Label { get; set; } = "";

        [VectorType(Channels, Size, Size)]
        public float[] Features { get; set; } = [];

        public int Number { get; set; }
    }

    public sealed class Prediction
    {
        public float[] Score { get; set; } = [];

        public uint PredictedLabel { get; set; }

        public int Number { get; set; }
    }

    public static List<Row> Rows(int count, int seed)
    {
        var random = new Random(seed);
        var rows = new List<Row>(count);
        for (int i = 0; i < count; i++)
            rows.Add(new Row { Label = Names[i % Names.Length], Features = Image(i % Names.Length, random), Number = i });
        return rows;
    }

    /// <summary>Pixels 0..255, one plane.</summary>
    public static float[] Image(int kind, Random random)
    {
        float[] pixels = new float[Size * Size];
        int phase = random.Next(4);
        for (int y = 0; y < Size; y++)
        {
            for (int x = 0; x < Size; x++)
            {
                int coordinate = kind switch { 0 => y, 1 => x, _ => x + y };
                bool bright = (coordinate + phase) % 4 < 2;
                pixels[y * Size + x] = Math.Clamp((bright ? 180 : 70) + random.Next(-40, 41), 0, 255);
            }
        }
        return pixels;
    }

    public static RepVggTrainer.Options Options(int epochs = 4) => new()
    {
        Architecture = Tiny,
        Epochs = epochs,
        BatchSize = 16,
        LearningRate = 0.05f,
        Augmentation = global::RepVgg.Training.Augmentation.None,
        Seed = 7,
        NumberOfThreads = 2,
    };

    /// <summary>Key mapping, then the trainer.</summary>
    public static IEstimator<TransformerChain<RepVggTransformer>> Pipeline(MLContext context, RepVggTrainer.Options? options = null) =>
        context.Transforms.Conversion.MapValueToKey("Label")
            .Append(context.MulticlassClassification.Trainers.RepVgg(options ?? Options()));
}
