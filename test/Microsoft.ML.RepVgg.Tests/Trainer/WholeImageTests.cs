using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Tests.Explanation;
using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;
using RepVgg.Runtime;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Augmentations;
using RepVgg.Training.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>With random rectangles, training images are kept whole until a rectangle is cut out; images for validation are those of scoring.</summary>
public sealed class WholeImageTests : IDisposable
{
    private const int Size = 24;

    private readonly MLContext _context = new(seed: 1);
    private readonly TemporaryFolder _folder = new();

    public enum Source
    {
        Files,
        Bytes,
        Images,
    }

    private sealed class FileRow
    {
        public string Path { get; set; } = "";

        public string Label { get; set; } = "";
    }

    private sealed class ImageRow
    {
        [ImageType(30, 30)]
        public MLImage? Features { get; set; }

        public string Label { get; set; } = "";
    }

    public void Dispose() => _folder.Dispose();

    /// <summary>Noise on a colour of the class, red, green or blue, in several sizes.</summary>
    private static MLImage Picture(int index, int? width = null, int? height = null)
    {
        var random = new Random(index);
        return ImageModels.Picture(width ?? 20 + 7 * (index % 6), height ?? 20 + 11 * (index % 5), (_, _) =>
        {
            int[] colour = [random.Next(120), random.Next(120), random.Next(120)];
            colour[index % 3] += 130;
            return System.Drawing.Color.FromArgb(colour[0], colour[1], colour[2]);
        });
    }

    private static string Label(int index) => $"{(char)('a' + index % 3)}";

    private List<FileRow> Files(int count)
    {
        for (int i = 0; i < count; i++)
        {
            using var picture = Picture(i);
            _folder.Write($"{i}.png", ImageModels.Png(picture));
        }
        return [.. Enumerable.Range(0, count).Select(i => new FileRow { Path = $"{i}.png", Label = Label(i) })];
    }

    private IDataView Data(Source source, int count, int? missing = null) => source switch
    {
        Source.Files => _context.Transforms.LoadImages("Features", _folder.Path, "Path").Fit(_context.Data.LoadFromEnumerable(Files(count))).Transform(_context.Data.LoadFromEnumerable(Files(count))),
        Source.Bytes => _context.Transforms.LoadRawImageBytes("Features", _folder.Path, "Path").Fit(_context.Data.LoadFromEnumerable(Files(count))).Transform(_context.Data.LoadFromEnumerable(Files(count))),
        _ => _context.Data.LoadFromEnumerable(Enumerable.Range(0, count).Select(i => new ImageRow { Features = i == missing ? null : Picture(i), Label = Label(i) })),
    };

    private static RepVggTrainer.Options Options(int epochs = 2)
    {
        var options = Stripes.Options(epochs);
        (options.ImageHeight, options.ImageWidth, options.BatchSize) = (12, 12, 8);
        options.Augmentation = new Augmentation { RandomResizedCrop = new RandomResizedCrop(), HorizontalFlip = true };
        options.ValidationSetFraction = 0.3f;
        return options;
    }

    private TransformerChain<RepVggTransformer> Fit(IDataView data, RepVggTrainer.Options options) => Stripes.Pipeline(_context, options).Fit(data);

    private static List<(double, double, double?, double?)> Metrics(TransformerChain<RepVggTransformer> model) =>
        [.. model.LastTransformer.History.Select(epoch => (epoch.TrainingLoss, epoch.TrainingAccuracy, epoch.ValidationLoss, epoch.ValidationAccuracy))];

    private static float[] Weights(TransformerChain<RepVggTransformer> model) => [.. model.LastTransformer.Network.Blocks.SelectMany(block => block.Kernel)];

    [Theory]
    [InlineData(Source.Files, 3)]
    [InlineData(Source.Bytes, 1)]
    [InlineData(Source.Images, 3)]
    public void Rectangles_are_cut_out_of_the_original_file(Source source, int channels)
    {
        const int Width = 100, Height = 60, Count = 6, Epoch = 3;
        const ulong Seed = 11;
        for (int i = 0; i < Count; i++)
        {
            using var picture = Picture(i, Width, Height);
            _folder.Write($"{i}.png", ImageModels.Png(picture));
        }
        var rows = Enumerable.Range(0, Count).Select(i => new FileRow { Path = $"{i}.png", Label = $"{i}" }).ToList();
        var files = _context.Data.LoadFromEnumerable(rows);
        var data = source switch
        {
            Source.Files => _context.Transforms.LoadImages("Features", _folder.Path, "Path").Fit(files).Transform(files),
            Source.Bytes => _context.Transforms.LoadRawImageBytes("Features", _folder.Path, "Path").Fit(files).Transform(files),
            _ => _context.Data.LoadFromEnumerable(Enumerable.Range(0, Count).Select(i => new ImageRow { Features = Picture(i, Width, Height), Label = $"{i}" })),
        };
        data = _context.Transforms.Conversion.MapValueToKey("Label").Fit(data).Transform(data);
        var input = FeatureInput.Create(data.Schema, new ImageSettings("feature", "Features", channels, Size, Size, ImageResizingEstimator.ResizingKind.IsoCrop, ImageResizingEstimator.Anchor.Center), Size, Size);
        using var images = TrainingImages.AtOwnSize(data, input, Count, workingSize: 60, isDivided: true, hashes: false, memoryLimit: 30_000);
        TrainingRows.Read(data, input, "Label", null, images, skipInvalid: false, default);

        var crop = new RandomResizedCrop { MinimumScale = 0.1 };
        var augmenter = new ImageAugmenter(new Augmentation { RandomResizedCrop = crop }, Normalization.Identity(channels), channels, Size, Size);
        using var loader = BatchLoader.Training(images.Samples, augmenter, 4, Seed, Epoch);
        int seen = 0;
        while (loader.Next() is { } batch)
        {
            for (int i = 0; i < batch.Count; i++, seen++)
            {
                int index = batch.Labels[i];
                using var original = Picture(index, Width, Height);
                var random = new RandomStream(Seed, RandomStream.Purpose.Augment, Epoch, (ulong)index);
                var rectangle = PixelAugmenter.Draw(crop, Height, Width, ref random);
                var actual = batch.Images.Slice(i * channels * Size * Size, channels * Size * Size);
                for (int c = 0; c < channels; c++)
                {
                    double[] expected = Cut(original, rectangle, c, channels == 1);
                    for (int p = 0; p < expected.Length; p++)
                        Assert.InRange(actual[c * Size * Size + p], expected[p] - 1, expected[p] + 1);
                }
            }
        }
        Assert.Equal(Count, seen);
    }

    /// <summary>Resizes a rectangle by Pillow's definition of antialiased bilinear interpolation, in double precision: across, then down, both rounded to bytes.</summary>
    private static double[] Cut(MLImage image, CropRectangle crop, int channel, bool isGrey)
    {
        double[,] across = new double[crop.Height, Size];
        for (int y = 0; y < crop.Height; y++)
        {
            for (int x = 0; x < Size; x++)
                across[y, x] = Interpolate(i => Value(crop.Left + i, crop.Top + y), x, crop.Width);
        }
        return [.. Enumerable.Range(0, Size * Size).Select(p => Interpolate(i => across[i, p % Size], p / Size, crop.Height))];

        double Value(int x, int y)
        {
            var pixel = image.Pixels.Slice(4 * (y * image.Width + x), 4);
            // ML.NET's grey values are cut off to whole numbers or rounded; both are within the tolerance.
            return isGrey ? Math.Round(0.3 * pixel[0] + 0.59 * pixel[1] + 0.11 * pixel[2]) : pixel[channel];
        }

        static double Interpolate(Func<int, double> value, int at, int length)
        {
            double scale = (double)length / Size, radius = Math.Max(scale, 1), centre = (at + 0.5) * scale, sum = 0, weights = 0;
            for (int i = 0; i < length; i++)
            {
                double weight = Math.Max(0, 1 - Math.Abs(i + 0.5 - centre) / radius);
                (sum, weights) = (sum + weight * value(i), weights + weight);
            }
            return Math.Round(sum / weights);
        }
    }

    [Theory]
    [InlineData(Source.Files)]
    [InlineData(Source.Images)]
    public void The_result_does_not_depend_on_memory_or_threads(Source source)
    {
        var data = Data(source, 36);
        List<(double, double, double?, double?)>? metrics = null;
        float[]? weights = null;
        foreach (var (limit, threads) in new[] { (SampleCache.DefaultMemoryLimit, 2), (150_000, 1), (20_000, 3), (0, 2) })
        {
            var options = Options();
            (options.CacheLimit, options.NumberOfThreads, options.CropFraction) = (limit, threads, 0.8);
            using var model = Fit(data, options);
            metrics ??= Metrics(model);
            weights ??= Weights(model);
            Assert.Equal(metrics, Metrics(model));
            Assert.Equal(weights, Weights(model));
        }
    }

    [Fact]
    public void Files_and_decoded_images_give_the_same_result()
    {
        using var files = Fit(Data(Source.Files, 30), Options());
        using var bytes = Fit(Data(Source.Bytes, 30), Options());
        using var images = Fit(Data(Source.Images, 30), Options());
        Assert.Equal(Metrics(files), Metrics(bytes));
        Assert.Equal(Metrics(files), Metrics(images));
        Assert.Equal(Weights(files), Weights(images));
    }

    [Theory]
    [InlineData(Source.Files, 1)]
    [InlineData(Source.Files, 0.75)]
    [InlineData(Source.Images, 0.75)]
    public void Validation_gives_the_metrics_of_scoring(Source source, double fraction)
    {
        var data = Data(source, 45);
        foreach (bool isWhole in new[] { false, true })
        {
            var options = Options(epochs: 1);
            options.CropFraction = fraction;
            options.ValidationSet = _context.Transforms.Conversion.MapValueToKey("Label").Fit(data).Transform(data);
            if (!isWhole)
                options.Augmentation = Augmentation.None;
            using var model = Fit(data, options);
            var evaluated = _context.MulticlassClassification.Evaluate(model.Transform(data));
            Assert.Equal(evaluated.LogLoss, model.LastTransformer.History[0].ValidationLoss!.Value, 1e-4);
            Assert.Equal(evaluated.MicroAccuracy, model.LastTransformer.History[0].ValidationAccuracy!.Value, 1e-6);
        }
    }

    [Theory]
    [InlineData(Source.Files)]
    [InlineData(Source.Images)]
    public void The_same_images_are_split_off_as_without_rectangles_and_have_the_pixels_of_scoring(Source source)
    {
        // The second row is skipped, so the split is known only when all images were decoded.
        var data = Data(source, 40, missing: 1);
        if (source == Source.Files)
            File.WriteAllBytes(_folder.File("1.png"), [1, 2, 3]);
        string checkpoint = _folder.File("run.checkpoint");
        var options = Options(epochs: 1);
        (options.InvalidRows, options.CheckpointPath, options.Augmentation, options.Normalization) = (InvalidRowHandling.Skip, checkpoint, Augmentation.None, Normalization.ImageNet with { Mean = [100, 100, 100] });
        options.Architecture = Stripes.Tiny with { InputChannels = 3 };
        (options.ImageChannels, options.CropFraction) = (3, 0.75);
        using (Fit(data, options))
        {
        }

        // A checkpoint of other data says which of them differ: the training pixels do, but not the labels and not the validation set.
        options.Augmentation = Options().Augmentation;
        string error = Errors.AllMessages(Assert.ThrowsAny<Exception>(() => Fit(data, options)));
        Assert.Contains("the data differ", error);
        Assert.Contains("Training pixels was", error);
        Assert.Contains("cut out of images of other sizes", error);
        Assert.DoesNotContain("Training labels", error);
        Assert.DoesNotContain("Validation", error);
    }

    [Fact]
    public void A_run_resumes_from_its_checkpoint_with_another_limit_and_the_same_bits()
    {
        var data = Data(Source.Files, 36);
        using var whole = Fit(data, Options(epochs: 3));
        using var source = new CancellationTokenSource();
        var options = Options(epochs: 3);
        (options.CheckpointPath, options.CancellationToken, options.CacheLimit) = (_folder.File("run.checkpoint"), source.Token, 10_000);
        options.MetricsCallback = progress =>
        {
            if (progress.EpochResult is { Epoch: 2 })
                source.Cancel();
        };
        Assert.Throws<OperationCanceledException>(() => Fit(data, options));
        (options.CancellationToken, options.CacheLimit, options.NumberOfThreads) = (default, SampleCache.DefaultMemoryLimit, 1);
        using var resumed = Fit(data, options);
        Assert.Equal(Metrics(whole), Metrics(resumed));
        Assert.Equal(Weights(whole), Weights(resumed));
    }

    [Fact]
    public void Large_images_are_reduced_to_the_working_size_and_others_keep_theirs()
    {
        var working = new Input.Images.WorkingImages(40, [255, 255, 255], new Input.Images.ImageDecoding());
        Assert.Equal((40, 60), working.SizeOf(60, 40));
        Assert.Equal((20, 300), working.SizeOf(300, 20));
        Assert.Equal((40, 67), working.SizeOf(100, 60));
        Assert.Equal((67, 40), working.SizeOf(600, 1000));
        using var picture = ImageModels.Picture(100, 60, (x, y) => System.Drawing.Color.FromArgb(2 * x, 4 * y, 50));
        var image = working.Convert(picture);
        Assert.Equal((40, 67, 3 * 40 * 67), (image.Height, image.Width, image.Pixels.Length));
        for (int y = 0; y < 40; y++)
        {
            for (int x = 0; x < 67; x++)
            {
                // The colours rise linearly, so that interpolation gives the value at the middle of a pixel; at the border, less is known.
                double tolerance = x is 0 or 66 || y is 0 or 39 ? 4 : 2;
                Assert.Equal(2 * ((x + 0.5) * 100 / 67 - 0.5), image.Pixels[y * 67 + x], tolerance);
                Assert.Equal(4 * ((y + 0.5) * 60 / 40 - 0.5), image.Pixels[(40 + y) * 67 + x], tolerance);
                Assert.Equal(50, image.Pixels[(80 + y) * 67 + x]);
            }
        }

        Assert.Equal(512, new RepVggTrainer.Options().WorkingSizeFor(224, 224));
        Assert.Equal(74, new RepVggTrainer.Options().WorkingSizeFor(20, 32));
        var options = Options(epochs: 1);
        options.WorkingSize = 12;
        using var small = Fit(Data(Source.Files, 30), options);
        options.WorkingSize = 1000;
        using var large = Fit(Data(Source.Files, 30), options);
        Assert.NotEqual(Metrics(small), Metrics(large));
    }

    [Fact]
    public void A_working_size_that_is_too_small_is_refused()
    {
        var options = Options();
        options.WorkingSize = 11;
        Assert.Contains("WorkingSize is 11, less than the longer side of the network's input, 12 pixels", Assert.Throws<ArgumentException>(() => Fit(Data(Source.Files, 12), options)).Message);
        options.WorkingSize = 0;
        Assert.Contains("WorkingSize is 0; it must be at least the longer side", Assert.Throws<ArgumentException>(() => Stripes.Pipeline(_context, options)).Message);
    }

    [Fact]
    public void Every_image_has_the_same_share_in_the_normalization()
    {
        using var cache = new WholeImageCache(1, 2, 2, 2, (_, _, _, _) => { });
        cache.Add(new WholeImage([10, 20, 10, 20, 10, 20, 10, 20], 2, 4), [], 0, 0);
        cache.Add(new WholeImage([100], 1, 1), [], 1, 1);
        // The means of the images are 15 and 100, those of the squares 250 and 10,000.
        var measured = PixelStatistics.Measure(cache);
        Assert.Equal(57.5, measured.Mean[0], 1e-5);
        Assert.Equal(1 / Math.Sqrt(5125 - 57.5 * 57.5), measured.Scale[0], 1e-7);
    }

    [Fact]
    public void A_run_is_described_alike_with_and_without_hashes_of_the_images()
    {
        using var backend = new global::RepVgg.Backends.Cpu.CpuBackend(1);
        using var network = new global::RepVgg.Networks.TrainingNetwork(Stripes.Tiny, 2, backend, 1);
        string Describe(bool hashes, int changed = -1, int width = 20)
        {
            using var cache = new WholeImageCache(1, 12, 12, 2, (_, _, _, _) => { });
            for (int i = 0; i < 2; i++)
            {
                byte[] pixels = new byte[300];
                pixels[7] = (byte)(i == changed ? 1 : 0);
                cache.Add(new WholeImage(pixels, 300 / width, width, hashes ? System.Security.Cryptography.SHA256.HashData(pixels) : null), [], i, i);
            }
            return RunFingerprint.Of(network, RunFingerprint.Describe(cache, null, default)!, Normalization.Identity(1), new TrainingOptions())!.ToJsonString();
        }
        Assert.Equal(Describe(hashes: false), Describe(hashes: true));
        Assert.Equal(5, new[] { Describe(true), Describe(true, 0), Describe(true, 1), Describe(true, width: 15), Describe(true, 0, width: 15) }.Distinct().Count());
    }

    [Fact]
    public void Images_of_other_sizes_need_rectangles()
    {
        using var cache = new WholeImageCache(1, 12, 12, 2, (_, _, _, _) => { });
        cache.Add(new WholeImage(new byte[144], 12, 12), [], 0, 0);
        cache.Add(new WholeImage(new byte[156], 12, 13), [], 1, 7);
        using var backend = new global::RepVgg.Backends.Cpu.CpuBackend(1);
        using var network = new global::RepVgg.Networks.TrainingNetwork(Stripes.Tiny, 2, backend, 1);
        Exception Run(Augmentation augmentation, ISampleSource? validation) => Assert.Throws<ArgumentException>(() => TrainingLoop.Run(
            backend, network, cache, validation, Normalization.Identity(1), new TrainingOptions { BatchSize = 2, Epochs = 1, Augmentation = augmentation }));
        Assert.Equal("Row 7 of the training set: the image is 13x12 pixels, not 12x12.", Run(Augmentation.None, null).Message);
        Assert.Equal("Row 7 of the validation set: the image is 13x12 pixels, not 12x12.", Run(Options().Augmentation!, cache).Message);
    }
}
