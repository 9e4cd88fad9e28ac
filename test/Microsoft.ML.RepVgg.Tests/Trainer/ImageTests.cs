using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;
using RepVgg.Testing;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>Image files of various sizes through LoadImages, and images held in memory.</summary>
public sealed class ImageTests : IDisposable
{
    private readonly MLContext _context = new(seed: 1);
    private readonly string _folder = Directory.CreateTempSubdirectory("repvgg-test-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private sealed class FileRow
    {
        public string Path { get; set; } = "";

        public string Label { get; set; } = "";
    }

    private sealed class ImageRow
    {
        [ImageType(14, 18)]
        public MLImage? Features { get; set; }

        public string Label { get; set; } = "";
    }

    private sealed class Prediction
    {
        public float[] Score { get; set; } = [];

        public uint PredictedLabel { get; set; }
    }

    /// <summary>Stripes of one of three colours on black; red, green and blue are the classes.</summary>
    private static MLImage Picture(int width, int height, int kind, Random random)
    {
        byte[] pixels = new byte[width * height * 4];
        for (int i = 0; i < width * height; i++)
        {
            byte level = (byte)(i / width % 4 < 2 ? 200 + random.Next(40) : random.Next(30));
            pixels[i * 4 + kind] = level;
            pixels[i * 4 + 3] = 255;
        }
        return MLImage.CreateFromPixels(width, height, MLPixelFormat.Rgba32, pixels);
    }

    private static string Name(int kind) => kind switch { 0 => "red", 1 => "green", _ => "blue" };

    private List<FileRow> Files(int count)
    {
        var random = new Random(1);
        var rows = new List<FileRow>();
        for (int i = 0; i < count; i++)
        {
            using var picture = Picture(12 + random.Next(12), 12 + random.Next(12), i % 3, random);
            string file = $"{i}.png";
            picture.Save(Path.Combine(_folder, file));
            rows.Add(new FileRow { Path = file, Label = Name(i % 3) });
        }
        return rows;
    }

    private static RepVggTrainer.Options Options(int epochs = 3)
    {
        var options = Stripes.Options(epochs);
        (options.ImageHeight, options.ImageWidth) = (12, 12);
        return options;
    }

    private EstimatorChain<RepVggTransformer> Pipeline(RepVggTrainer.Options options) =>
        _context.Transforms.Conversion.MapValueToKey("Label")
            .Append(_context.Transforms.LoadImages("Features", _folder, "Path"))
            .Append(_context.MulticlassClassification.Trainers.RepVgg(options));

    [Fact]
    public void Files_of_any_size_train_score_save_and_load()
    {
        var data = _context.Data.LoadFromEnumerable(Files(90));
        using var model = Pipeline(Options()).Fit(data);
        var scored = model.Transform(data);
        Assert.True(_context.MulticlassClassification.Evaluate(scored).MicroAccuracy > 0.95);
        Assert.Equal((3, 12, 12), (model.LastTransformer.Architecture.InputChannels, model.LastTransformer.Network.ImageHeight, model.LastTransformer.Network.ImageWidth));

        using var stream = new MemoryStream();
        _context.Model.Save(model, data.Schema, stream);
        stream.Position = 0;
        var loaded = new MLContext().Model.Load(stream, out _);
        var ours = scored.GetColumn<float[]>("Score").SelectMany(score => score).ToArray();
        var theirs = loaded.Transform(data).GetColumn<float[]>("Score").SelectMany(score => score).ToArray();
        Compare.Close(ours, theirs, 1e-4);
        Assert.Equal(
            ((ITransformer)model).GetOutputSchema(data.Schema).Where(column => !column.IsHidden).Select(column => column.Name),
            loaded.GetOutputSchema(data.Schema).Where(column => !column.IsHidden).Select(column => column.Name));
    }

    [Fact]
    public void Grey_networks_read_colour_images()
    {
        var options = Options(epochs: 1);
        options.ImageChannels = 1;
        var data = _context.Data.LoadFromEnumerable(Files(30));
        using var model = Pipeline(options).Fit(data);
        Assert.Equal(1, model.LastTransformer.Architecture.InputChannels);
        using var stream = new MemoryStream();
        _context.Model.Save(model, data.Schema, stream);
        stream.Position = 0;
        var loaded = new MLContext().Model.Load(stream, out _);
        Compare.Close(
            model.Transform(data).GetColumn<float[]>("Score").SelectMany(score => score).ToArray(),
            loaded.Transform(data).GetColumn<float[]>("Score").SelectMany(score => score).ToArray(),
            1e-4);
    }

    [Fact]
    public void Images_in_memory_are_scored_one_by_one_and_in_batches_alike()
    {
        var random = new Random(2);
        var rows = Enumerable.Range(0, 45).Select(i => new ImageRow { Features = Picture(18, 14, i % 3, random), Label = Name(i % 3) }).ToList();
        var data = _context.Data.LoadFromEnumerable(rows);
        using var model = Stripes.Pipeline(_context, Options()).Fit(data);
        var batch = model.Transform(data).GetColumn<float[]>("Score").ToList();
        using var engine = _context.Model.CreatePredictionEngine<ImageRow, Prediction>(model, new PredictionEngineOptions { OwnsTransformer = false });
        // The pixel extractor disposes an image once the next one comes, so each is made anew.
        random = new Random(2);
        for (int i = 0; i < 6; i++)
            Assert.Equal(batch[i], engine.Predict(new ImageRow { Features = Picture(18, 14, i % 3, random) }).Score);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Unreadable_and_truncated_files_are_an_error_or_skipped_and_counted(bool truncated)
    {
        var rows = Files(30);
        string victim = Path.Combine(_folder, rows[5].Path);
        byte[] bytes = File.ReadAllBytes(victim);
        File.WriteAllBytes(victim, truncated ? bytes[..(bytes.Length / 8)] : [1, 2, 3, 4]);
        var data = _context.Data.LoadFromEnumerable(rows);
        var error = Assert.ThrowsAny<Exception>(() => Pipeline(Options(epochs: 1)).Fit(data));
        Assert.Contains("Row 5, column 'Features', file '5.png': the image cannot be read", Errors.AllMessages(error));

        var log = new List<string>();
        _context.Log += (_, line) => { lock (log) log.Add(line.Message); };
        var options = Options(epochs: 1);
        options.InvalidRows = InvalidRowHandling.Skip;
        using var model = Pipeline(options).Fit(data);
        Assert.Contains(log, line => line.Contains("1 rows of the training data were skipped; the first: Row 5"));
    }

    [Fact]
    public void A_missing_image_is_an_error_that_names_the_row()
    {
        var random = new Random(2);
        var rows = Enumerable.Range(0, 12).Select(i => new ImageRow { Features = i == 4 ? null : Picture(18, 14, i % 3, random), Label = Name(i % 3) }).ToList();
        var error = Assert.ThrowsAny<Exception>(() => Stripes.Pipeline(_context, Options(epochs: 1)).Fit(_context.Data.LoadFromEnumerable(rows)));
        Assert.Contains("Row 4, column 'Features'", Errors.AllMessages(error));
    }
}
