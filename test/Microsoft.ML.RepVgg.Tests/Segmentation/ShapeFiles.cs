using Microsoft.ML.Data;
using RepVgg.Architectures;
using RepVgg.Training;

namespace Microsoft.ML.RepVgg.Tests.Segmentation;

/// <summary>A data set that a small network learns in seconds: a bright disc (class 1) and a dark square (class 2) on a grey ground.</summary>
internal static class ShapeFiles
{
    /// <summary>Size of the images; the network has another one.</summary>
    public const int Height = 40, Width = 48;

    public const int InputHeight = 33, InputWidth = 41, Classes = 3;

    public static RepVggArchitecture Backbone { get; } = new()
    {
        Name = "tiny-segmentation",
        InputChannels = 3,
        Stages = [new("stage0", 8, 1, 2), new("stage1", 16, 1, 2), new("stage2", 24, 1, 2)],
        DefaultImageSize = InputHeight,
        OutputStride = 4,
    };

    public static RepVggSegmentationTrainer.Options Options(int epochs = 8) => new()
    {
        FeatureColumnName = "Image",
        LabelColumnName = "Mask",
        Architecture = Backbone,
        Bins = [1, 2],
        HeadWidth = 16,
        ImageHeight = InputHeight,
        ImageWidth = InputWidth,
        Epochs = epochs,
        BatchSize = 8,
        Augmentation = new SegmentationAugmentation { MinimumScale = 0.9, MaximumScale = 1.1, Rotation = 0 },
        Seed = 1,
        Device = TrainingDevice.Cpu,
        NumberOfThreads = 1,
    };

    /// <summary>Writes images and masks to a folder.</summary>
    public static SegmentationDataSet Write(string folder, int count, int seed, int height = Height, int width = Width)
    {
        var random = new Random(seed);
        string images = Directory.CreateDirectory(Path.Combine(folder, "images")).FullName, masks = Directory.CreateDirectory(Path.Combine(folder, "masks")).FullName;
        for (int i = 0; i < count; i++)
        {
            byte[] labels = new byte[height * width], pixels = new byte[4 * labels.Length];
            int discY = random.Next(height), discX = random.Next(width), squareY = random.Next(height), squareX = random.Next(width);
            for (int p = 0; p < labels.Length; p++)
            {
                int y = p / width, x = p % width;
                labels[p] = (byte)(Math.Max(Math.Abs(y - squareY), Math.Abs(x - squareX)) < 8 ? 2 : (y - discY) * (y - discY) + (x - discX) * (x - discX) < 100 ? 1 : 0);
                for (int c = 0; c < 3; c++)
                    pixels[4 * p + c] = (byte)(labels[p] switch { 1 => 210, 2 => 30, _ => 110 } + random.Next(-15, 16));
                pixels[4 * p + 3] = byte.MaxValue;
            }
            using var image = MLImage.CreateFromPixels(width, height, MLPixelFormat.Rgba32, pixels);
            image.Save(Path.Combine(images, $"{i:000}.png"));
            new SegmentationMask(height, width, labels).Save(Path.Combine(masks, $"{i:000}.png"));
        }
        return SegmentationDataSet.FromFolder(folder);
    }

    /// <summary>Loads the content of the files.</summary>
    public static IDataView Load(MLContext context, IEnumerable<SegmentationSample> samples)
    {
        var rows = context.Data.LoadFromEnumerable(samples);
        return context.Transforms.LoadRawImageBytes("Image", null, "ImagePath").Append(context.Transforms.LoadRawImageBytes("Mask", null, "MaskPath")).Fit(rows).Transform(rows);
    }

    /// <summary>Loads the decoded images and the content of the masks.</summary>
    public static IDataView LoadDecoded(MLContext context, IEnumerable<SegmentationSample> samples)
    {
        var rows = context.Data.LoadFromEnumerable(samples);
        return context.Transforms.LoadImages("Image", "", "ImagePath").Append(context.Transforms.LoadRawImageBytes("Mask", null, "MaskPath")).Fit(rows).Transform(rows);
    }

    public static byte[][] Masks(IDataView scored, string column = "PredictedMask") => [.. scored.GetColumn<VBuffer<byte>>(scored.Schema[column]).Select(mask => mask.DenseValues().ToArray())];
}

/// <summary>A network that was trained once for all tests of a class.</summary>
public sealed class TrainedSegmentation : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("repvgg-test-").FullName;

    public TrainedSegmentation()
    {
        Context = new MLContext(seed: 1);
        var files = ShapeFiles.Write(_folder, 90, seed: 1);
        (Files, Validation) = ([.. files.Training.Take(66)], [.. files.Training.Skip(66)]);
        var options = ShapeFiles.Options(epochs: 12);
        options.ScoreColumnName = "Score";
        options.ClassNames = ["ground", "disc", "square"];
        options.ValidationSet = ShapeFiles.Load(Context, Validation);
        Model = Context.Segmentation().Trainers.RepVggPsp(options).Fit(ShapeFiles.Load(Context, Files));
    }

    internal MLContext Context { get; }

    internal IReadOnlyList<SegmentationSample> Files { get; }

    internal IReadOnlyList<SegmentationSample> Validation { get; }

    internal RepVggSegmentationTransformer Model { get; }

    public void Dispose()
    {
        Model.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}
