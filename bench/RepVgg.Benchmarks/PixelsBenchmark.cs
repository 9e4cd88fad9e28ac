using RepVgg.Architectures;
using System.Diagnostics;
using System.Globalization;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.Transforms.Image;
using RepVgg.Training.Data;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Training;

namespace RepVgg.Benchmarks;

/// <summary>
/// The way of pixels from decoded images to the network: scoring through ML.NET's Transform beside the bare engine on the
/// same pixels, and in training from rows to the cache and from the cache to augmented batches.
/// </summary>
internal static class PixelsBenchmark
{
    private const int DistinctImages = 50;

    public static void Run(CommandLine options)
    {
        string name = options.Text("network", "A0");
        int size = options.Number("size", 224), count = options.Number("images", 1000), rounds = options.Number("rounds", 5), threads = options.Number("threads", 0);
        bool processorTime = options.Text("clock", "wall") == "processor";
        var random = new Random(1);
        var pictures = new byte[DistinctImages][];
        for (int i = 0; i < pictures.Length; i++)
        {
            pictures[i] = new byte[4 * size * size];
            random.NextBytes(pictures[i]);
        }
        Row[] rows = [.. Enumerable.Range(0, count).Select(i => new Row(pictures[i % DistinctImages], size) { Label = (uint)(i % 10) })];

        var context = new MLContext(seed: 1);
        var schema = SchemaDefinition.Create(typeof(Row));
        schema[nameof(Row.Image)].ColumnType = new ImageDataViewType(size, size);
        var data = context.Data.LoadFromEnumerable(rows, schema);
        using var model = context.Transforms.RepVggFeaturizer(new RepVggFeaturizingEstimator.Options
        {
            Network = InferenceBenchmark.Untrained(name, size),
            Stage = options.Text("stage"),
            InputColumnName = nameof(Row.Image),
            OutputColumnName = "Features",
            NumberOfThreads = threads,
        }).Fit(data);
        using var engine = new InferenceEngine(model.Network, threads);
        float[] pixels = new float[engine.InputLength * count], features = new float[engine.OutputLength * count];
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] = random.Next(256);

        var input = FeatureInput.Create(data.Schema, new ImageSettings("feature", nameof(Row.Image), 3, size, size, ImageResizingEstimator.ResizingKind.IsoCrop, ImageResizingEstimator.Anchor.Center), size, size);
        var augmenter = new ImageAugmenter(new Augmentation { HorizontalFlip = true, CropPadding = size / 8 }, Normalization.ImageNet, 3, size, size);
        using var cache = TrainingImages.AtNetworkSize(input, classes: 10, long.MaxValue);
        TrainingRows.Read(data, input, nameof(Row.Label), null, cache, skipInvalid: false, default);
        (string Name, Action Once)[] sides =
        [
            ("Transform", () =>
            {
                var view = model.Transform(data);
                using var cursor = view.GetRowCursor([view.Schema["Features"]]);
                var read = cursor.GetGetter<VBuffer<float>>(view.Schema["Features"]);
                VBuffer<float> values = default;
                while (cursor.MoveNext())
                    read(ref values);
            }),
            ("bare engine, floats", () => engine.Run(pixels, count, features)),
            ("rows to cache", () =>
            {
                using var filled = TrainingImages.AtNetworkSize(input, classes: 10, long.MaxValue);
                TrainingRows.Read(data, input, nameof(Row.Label), null, filled, skipInvalid: false, default);
            }),
            ("cache to batches", () =>
            {
                using var loader = BatchLoader.Training(cache.Samples, augmenter, 64, seed: 1, epoch: 1);
                while (loader.Next() is not null)
                {
                }
            }),
            ("pixel statistics", () => PixelStatistics.Measure(cache.Samples)),
        ];

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{model.Network.Architecture.Name}, {options.Text("stage", "all stages")}, 3 x {size} x {size}, {count} images, {engine.Threads} threads"));
        var times = sides.Select(_ => new List<double>()).ToArray();
        for (int round = 0; round <= rounds; round++)
        {
            for (int side = 0; side < sides.Length; side++)
            {
                double start = Now();
                sides[side].Once();
                if (round > 0)
                    times[side].Add((Now() - start) / count);
            }
        }
        foreach (var (side, list) in sides.Zip(times))
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {side.Name,-22}{AlternatingRounds.Median(list),10:F1} us/image"));

        double Now() => processorTime ? Environment.CpuUsage.TotalTime.TotalMicroseconds : Stopwatch.GetElapsedTime(0).TotalMicroseconds;
    }

    /// <summary>A row whose image is made when it is read, because ML.NET's image transformers dispose the images that they get.</summary>
    private sealed class Row(byte[] picture, int size)
    {
        [KeyType(10)]
        public uint Label { get; set; }

        [ImageType(224, 224)]
        public MLImage Image
        {
            get => MLImage.CreateFromPixels(size, size, MLPixelFormat.Bgra32, picture);
            set => throw new NotSupportedException();
        }
    }
}
