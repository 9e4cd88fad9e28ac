using System.Diagnostics;
using System.Globalization;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Runtime.Threading;
using RepVgg.Training;
using RepVgg.Training.Data;

namespace RepVgg.Benchmarks;

/// <summary>JPEG photos of a few megapixels: images per second of reading training rows and of scoring, and what decoding, resizing and the network take.</summary>
internal static class FilesBenchmark
{
    private const int DistinctFiles = 20;

    private const string DecodingAlone = "decode, all threads";

    public static void Run(CommandLine options)
    {
        var architecture = RepVggVariants.Find(options.Text("network", "A0"));
        int size = options.Number("size", architecture.DefaultImageSize), count = options.Number("images", 200), threads = options.Number("threads", 0), rounds = options.Number("rounds", 5);
        int width = options.Number("width", 1024), height = options.Number("height", 768);
        string folder = Directory.CreateTempSubdirectory("repvgg-files-").FullName;
        try
        {
            byte[][] files = [.. Enumerable.Range(0, DistinctFiles).Select(i => WritePhoto(Path.Combine(folder, $"{i}.jpg"), width, height, i))];
            Row[] rows = [.. Enumerable.Range(0, count).Select(i => new Row { ImagePath = $"{i % DistinctFiles}.jpg", Label = (uint)(i % 10) })];
            string title = string.Create(CultureInfo.InvariantCulture, $"{architecture.Name} at {size}, {count} JPEG files of {width} x {height} pixels, {files.Average(file => file.Length) / 1e6:F2} MB each, {ThreadCount.Resolve(threads)} threads");
            Console.WriteLine($"{title}\n");
            List<string> lines = ["| step | ms/image | images/s | of decoding alone |", "|---|---|---|---|", .. Measure(architecture, size, rows, files, folder, threads, rounds)];
            lines.ForEach(Console.WriteLine);
            Console.WriteLine($"\n{Machine.Description} {Machine.Cores}");
            if (options.Text("write") is { } path)
            {
                ResultsFile.Replace(path, "Image files", $"""
                    {title}: the rows of Fit, from the files to the pixels that are cached, and Transform, from the files to the scores. Medians of {rounds} rounds; the last column compares with decoding on all
                    threads. Made by `bench/run files` on {Machine.Today}.

                    {Machine.Description}{Machine.Load} {Machine.Cores}

                    {string.Join('\n', lines)}
                    """);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static IEnumerable<string> Measure(RepVggArchitecture architecture, int size, Row[] rows, byte[][] files, string folder, int threads, int rounds)
    {
        var context = new MLContext(seed: 1);
        var data = context.Data.LoadFromEnumerable(rows);
        var asBytes = context.Transforms.LoadRawImageBytes("Image", folder, nameof(Row.ImagePath)).Fit(data).Transform(data);
        var asImages = context.Transforms.LoadImages("Image", folder, nameof(Row.ImagePath)).Fit(data).Transform(data);
        using var model = context.MulticlassClassification.Trainers.RepVgg(new RepVggTrainer.Options
        {
            FeatureColumnName = "Image",
            Architecture = architecture,
            ImageHeight = size,
            Epochs = 1,
            BatchSize = 4,
            LearningRate = 1e-6f,
            ValidationSetFraction = 0,
            Augmentation = Augmentation.None,
            NumberOfThreads = threads,
        }).Fit(context.Data.TakeRows(asBytes, 20));
        using var engine = new InferenceEngine(model.Network, threads);
        var loop = new ParallelLoop(ThreadCount.Resolve(threads));
        byte[] batch = new byte[32 * engine.InputLength];
        float[] logits = new float[32 * engine.Classes];
        using var resizer = new ImageResizer(size, size, ImageResizingEstimator.ResizingKind.IsoCrop, ImageResizingEstimator.Anchor.Center, [255, 255, 255]);
        using var decoded = ImageDecoder.Decode(files[0], new ImageDecoding());
        var input = FeatureInput.Create(asBytes.Schema, new ImageSettings("feature", "Image", 3, size, size, ImageResizingEstimator.ResizingKind.IsoCrop, ImageResizingEstimator.Anchor.Center), size, size);

        (string Name, int Images, Action Once)[] sides =
        [
            ("read the file", files.Length, () => Array.ForEach(Enumerable.Range(0, files.Length).ToArray(), i => File.ReadAllBytes(Path.Combine(folder, $"{i}.jpg")))),
            ("decode", files.Length, () => Array.ForEach(files, file => ImageDecoder.Decode(file, new ImageDecoding()).Dispose())),
            (DecodingAlone, files.Length, () => loop.Run(files.Length, (i, _) => ImageDecoder.Decode(files[i], new ImageDecoding()).Dispose())),
            ("resize, convert", 20, () => Repeat(20, () => resizer.Resize(decoded, batch.AsSpan(0, engine.InputLength)))),
            ("network, batches of 32", 64, () => Repeat(2, () => engine.Run(batch, 32, logits))),
            ("Fit: rows to cache, LoadImages", rows.Length, () => Cache(asImages)),
            ("Fit: rows to cache, LoadRawImageBytes", rows.Length, () => Cache(asBytes)),
            ("Transform, LoadImages", rows.Length, () => Score(asImages)),
            ("Transform, LoadRawImageBytes", rows.Length, () => Score(asBytes)),
        ];
        var times = sides.Select(_ => new List<double>()).ToArray();
        for (int round = 0; round <= rounds; round++)
        {
            for (int side = 0; side < sides.Length; side++)
            {
                long start = Stopwatch.GetTimestamp();
                sides[side].Once();
                if (round > 0)
                    times[side].Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds / sides[side].Images);
            }
        }
        double decoding = AlternatingRounds.Median(times[Array.FindIndex(sides, side => side.Name == DecodingAlone)]);
        return sides.Zip(times, (side, list) =>
        {
            double median = AlternatingRounds.Median(list);
            string share = side.Images == rows.Length ? string.Create(CultureInfo.InvariantCulture, $"{decoding / median:F2}") : "";
            return string.Create(CultureInfo.InvariantCulture, $"| {side.Name} | {median:F2} | {1000 / median:F0} | {share} |");
        });

        void Cache(IDataView view)
        {
            using var cache = TrainingImages.AtNetworkSize(input, classes: 10, long.MaxValue);
            TrainingRows.Read(view, input, nameof(Row.Label), null, cache, skipInvalid: false, default, threads);
        }

        void Score(IDataView view)
        {
            foreach (uint _ in model.Transform(view).GetColumn<uint>("PredictedLabel"))
            {
            }
        }
    }

    private static void Repeat(int times, Action action)
    {
        for (int i = 0; i < times; i++)
            action();
    }

    /// <summary>Writes a picture with smooth areas, edges and some noise, which compresses like a photo.</summary>
    private static byte[] WritePhoto(string path, int width, int height, int seed)
    {
        var random = new Random(seed);
        byte[] pixels = new byte[4 * width * height];
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                int edge = (x / 97 + y / 61 + seed) % 3 * 40, noise = random.Next(-6, 7);
                for (int colour = 0; colour < 3; colour++)
                    pixels[4 * (y * width + x) + colour] = (byte)Math.Clamp(80 + edge + noise + 60 * Math.Sin((x + seed * 50) / (90.0 + 30 * colour)) * Math.Cos(y / 130.0), 0, 255);
                pixels[4 * (y * width + x) + 3] = 255;
            }
        }
        using var image = MLImage.CreateFromPixels(width, height, MLPixelFormat.Rgba32, pixels);
        image.Save(path);
        return File.ReadAllBytes(path);
    }

    private sealed class Row
    {
        public string ImagePath { get; set; } = "";

        [KeyType(10)]
        public uint Label { get; set; }
    }
}
