using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Tests.Trainer;
using Microsoft.ML.Transforms.Image;
using RepVgg.Testing;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Images;

/// <summary>Columns of decoded images and of the content of image files, in training and at scoring.</summary>
public sealed class ImageColumnTests : IDisposable
{
    private const int Size = 12;

    private readonly MLContext _context = new(seed: 1);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private sealed class ImageRow
    {
        [ImageType(Size, Size)]
        public MLImage? Image { get; set; }

        public string Label { get; set; } = "";

        public int Number { get; set; }
    }

    private sealed class FileRow
    {
        public string Path { get; set; } = "";

        public string Label { get; set; } = "";
    }

    private sealed class BytesRow
    {
        public byte[] Image { get; set; } = [];

        public string Label { get; set; } = "";
    }

    private sealed class Prediction
    {
        public uint PredictedLabel { get; set; }

        public float[] Score { get; set; } = [];
    }

    private sealed class NumberedPrediction
    {
        public int Number { get; set; }

        [ImageType(Size, Size)]
        public MLImage? Image { get; set; }

        public float[] Score { get; set; } = [];
    }

    private static RepVggTrainer.Options Options(int epochs = 2)
    {
        var options = Stripes.Options(epochs);
        (options.FeatureColumnName, options.ImageHeight, options.ImageWidth, options.ValidationSetFraction) = ("Image", Size, Size, 0);
        return options;
    }

    /// <summary>A picture of one of three colours.</summary>
    private static MLImage Picture(int kind, int width, int height, int seed)
    {
        var random = new Random(seed);
        byte[] pixels = new byte[4 * width * height];
        for (int i = 0; i < width * height; i++)
        {
            pixels[4 * i + kind] = (byte)(i / width % 4 < 2 ? 200 + random.Next(40) : random.Next(30));
            pixels[4 * i + 3] = 255;
        }
        return MLImage.CreateFromPixels(width, height, MLPixelFormat.Rgba32, pixels);
    }

    private static List<ImageRow> ImageRows(int count, int width = Size, int height = Size) =>
        [.. Enumerable.Range(0, count).Select(i => new ImageRow { Image = Picture(i % 3, width, height, i), Label = $"{i % 3}", Number = i })];

    /// <summary>PNG and JPEG files of several sizes.</summary>
    private List<FileRow> FileRows(int count)
    {
        var rows = new List<FileRow>();
        for (int i = 0; i < count; i++)
        {
            using var picture = Picture(i % 3, 14 + i % 5, 13 + i % 7, i);
            string name = i % 2 == 0 ? $"{i}.png" : $"{i}.jpg";
            picture.Save(_folder.File(name));
            rows.Add(new FileRow { Path = name, Label = $"{i % 3}" });
        }
        return rows;
    }

    private TransformerChain<RepVggTransformer> Train(IDataView data, RepVggTrainer.Options? options = null) =>
        Stripes.Pipeline(_context, options ?? Options()).Fit(data);

    private static float[][] Scores(ITransformer model, IDataView data) => [.. model.Transform(data).GetColumn<float[]>("Score")];

    private PredictionEngine<TRow, Prediction> Engine<TRow>(ITransformer model)
        where TRow : class => _context.Model.CreatePredictionEngine<TRow, Prediction>(model, new PredictionEngineOptions { OwnsTransformer = false });

    [Theory]
    [InlineData(Size, Size)]
    [InlineData(15, 18)]
    public void Images_of_the_caller_are_never_disposed(int width, int height)
    {
        var rows = ImageRows(36, width, height);
        var data = _context.Data.LoadFromEnumerable(rows);
        using var model = Train(data);
        var scores = Scores(model, data);
        Assert.Equal(36, scores.Length);
        _context.MulticlassClassification.CrossValidate(_context.Transforms.Conversion.MapValueToKey("Label").Fit(data).Transform(data), _context.MulticlassClassification.Trainers.RepVgg(Options(epochs: 1)), numberOfFolds: 2);

        using (var engine = Engine<ImageRow>(model))
        {
            for (int again = 0; again < 3; again++)
            {
                for (int i = 0; i < rows.Count; i++)
                    Assert.Equal(scores[i], engine.Predict(rows[i]).Score);
            }
        }
        Assert.All(rows, row => Assert.Equal(4 * width * height, row.Image!.Pixels.Length));

        // The image column can be read beside the score.
        var beside = _context.Data.CreateEnumerable<NumberedPrediction>(model.Transform(data), reuseRowObject: false).ToList();
        for (int i = 0; i < rows.Count; i++)
        {
            Assert.Same(rows[i].Image, beside[i].Image);
            Assert.Equal(i, beside[i].Number);
            Assert.Equal(scores[i], beside[i].Score);
        }
        Assert.All(rows, row => Assert.Equal(4 * width * height, row.Image!.Pixels.Length));
    }

    [Fact]
    public void Many_threads_can_score_one_picture()
    {
        var rows = ImageRows(18);
        using var model = Train(_context.Data.LoadFromEnumerable(rows));
        var expected = Scores(model, _context.Data.LoadFromEnumerable(rows));
        Parallel.For(0, 8, new ParallelOptions { MaxDegreeOfParallelism = 8 }, _ =>
        {
            using var engine = Engine<ImageRow>(model);
            for (int i = 0; i < 40; i++)
                Assert.Equal(expected[4], engine.Predict(rows[4]).Score);
        });
        Assert.Equal(4 * Size * Size, rows[4].Image!.Pixels.Length);
    }

    [Theory]
    [InlineData("")]
    [InlineData(null)]
    public void A_missing_picture_is_said_to_be_missing(string? path)
    {
        foreach (int channels in new[] { 3, 1 })
        {
            var rows = FileRows(30);
            var options = Options(epochs: 1);
            options.ImageChannels = channels;
            var pipeline = _context.Transforms.LoadImages("Image", _folder.Path, "Path").Append(Stripes.Pipeline(_context, options));
            using var model = pipeline.Fit(_context.Data.LoadFromEnumerable(rows));
            using var engine = Engine<FileRow>(model);
            var missing = new FileRow { Path = path!, Label = "0" };
            Assert.Contains("Row 0, column 'Image': there is no image", Error(() => engine.Predict(missing)));
            engine.Predict(rows[0]);
            Assert.Contains("column 'Image': there is no image", Error(() => engine.Predict(missing)));
            engine.Predict(rows[1]);

            foreach (int position in new[] { 0, 7 })
            {
                var incomplete = rows.ToList();
                incomplete.Insert(position, missing);
                var data = _context.Data.LoadFromEnumerable(incomplete);
                Assert.Contains($"Row {position}, column 'Image': there is no image", Error(() => pipeline.Fit(data)));
                Assert.Contains($"Row {position}, column 'Image': there is no image", Error(() => Scores(model, data)));
            }
        }
    }

    [Fact]
    public void Bytes_of_files_train_and_score_like_images()
    {
        var files = FileRows(45);
        var data = _context.Data.LoadFromEnumerable(files);
        var raw = _context.Transforms.LoadRawImageBytes("Image", _folder.Path, "Path");
        var decoded = _context.Transforms.LoadImages("Image", _folder.Path, "Path");
        using var ofBytes = raw.Append(Stripes.Pipeline(_context, Options(epochs: 3))).Fit(data);
        using var ofImages = decoded.Append(Stripes.Pipeline(_context, Options(epochs: 3))).Fit(data);
        Assert.True(_context.MulticlassClassification.Evaluate(ofBytes.Transform(data)).MicroAccuracy > 0.9);
        float[][] expected = Scores(ofImages, data);
        Assert.Equal(expected, Scores(ofBytes, data));

        // A model that was trained on images scores bytes, and the other way round.
        var rows = files.Select(file => new BytesRow { Image = File.ReadAllBytes(_folder.File(file.Path)) }).ToList();
        var memory = _context.Data.LoadFromEnumerable(rows);
        Assert.Equal(expected, Scores(ofImages.LastTransformer.LastTransformer, memory));
        Assert.Equal(expected, Scores(ofBytes.LastTransformer.LastTransformer, decoded.Fit(data).Transform(data)));
        using var engine = Engine<BytesRow>(ofImages.LastTransformer.LastTransformer);
        for (int i = 0; i < rows.Count; i++)
            Assert.Equal(expected[i], engine.Predict(rows[i]).Score);
        Assert.Contains("column 'Image': there is no image", Error(() => engine.Predict(new BytesRow())));
    }

    [Theory]
    [InlineData("i-zero-bytes.jpg", "the file is empty")]
    [InlineData("i-picture.tif", "TIFF")]
    [InlineData("cut.png", "it is cut off")]
    [InlineData("cut.jpg", "it is cut off")]
    [InlineData("text.jpg", "format")]
    public void Files_that_cannot_be_decoded_are_named_with_the_reason(string name, string reason)
    {
        var rows = FileRows(30);
        switch (name)
        {
            case "i-zero-bytes.jpg":
                File.WriteAllBytes(_folder.File(name), []);
                break;
            case "cut.png" or "cut.jpg":
                byte[] whole = File.ReadAllBytes(_folder.File(name == "cut.png" ? "2.png" : "3.jpg"));
                File.WriteAllBytes(_folder.File(name), whole[..(whole.Length * 3 / 4)]);
                break;
            case "text.jpg":
                File.WriteAllText(_folder.File(name), "This is text and no picture, whatever its name says.");
                break;
            default:
                File.Copy(ImageFiles.Path("picture.tif"), _folder.File(name));
                break;
        }
        rows.Insert(0, new FileRow { Path = name, Label = "0" });
        var data = _context.Data.LoadFromEnumerable(rows);
        foreach (var loading in new IEstimator<ITransformer>[] { _context.Transforms.LoadRawImageBytes("Image", _folder.Path, "Path"), _context.Transforms.LoadImages("Image", _folder.Path, "Path") })
        {
            string error = Error(() => loading.Append(Stripes.Pipeline(_context, Options(epochs: 1))).Fit(data));
            Assert.Contains("Row 0, column 'Image', file '", error);
            Assert.Contains(name, error);
            Assert.Contains(reason, error);

            var options = Options(epochs: 1);
            options.InvalidRows = InvalidRowHandling.Skip;
            using var model = loading.Append(Stripes.Pipeline(_context, options)).Fit(data);
            var predictions = _context.Data.CreateEnumerable<Prediction>(model.Transform(data), reuseRowObject: false).ToList();
            Assert.Equal(31, predictions.Count);
            Assert.Equal(0u, predictions[0].PredictedLabel);
            Assert.All(predictions[0].Score, score => Assert.True(float.IsNaN(score)));
            Assert.All(predictions.Skip(1), prediction => Assert.InRange(prediction.PredictedLabel, 1u, 3u));
            Assert.Equal(1, model.LastTransformer.LastTransformer.InvalidRowCount);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Bytes_that_cannot_be_decoded_anywhere_in_a_batch_are_found_in_order(bool skip)
    {
        var rows = FileRows(100).Select(file => new BytesRow { Image = File.ReadAllBytes(_folder.File(file.Path)), Label = file.Label }).ToList();
        var options = Options(epochs: 1);
        options.InvalidRows = skip ? InvalidRowHandling.Skip : InvalidRowHandling.Error;
        using var model = Train(_context.Data.LoadFromEnumerable(rows), options).LastTransformer;
        float[][] expected = Scores(model, _context.Data.LoadFromEnumerable(rows));
        int[] bad = [3, 41, 42, 77, 99];
        foreach (int row in bad)
            rows[row].Image = row % 2 == 0 ? rows[row].Image[..30] : [];
        var data = _context.Data.LoadFromEnumerable(rows);
        if (skip)
        {
            float[][] scores = Scores(model, data);
            for (int i = 0; i < 100; i++)
                Assert.Equal(bad.Contains(i) ? [float.NaN, float.NaN, float.NaN] : expected[i], scores[i]);
            Assert.Equal(bad.Length, model.InvalidRowCount);
            return;
        }
        foreach (int row in bad)
        {
            var view = model.Transform(data);
            using var cursor = view.GetRowCursor(view.Schema);
            var score = cursor.GetGetter<VBuffer<float>>(view.Schema["Score"]);
            VBuffer<float> values = default;
            int read = 0;
            string error = Error(() =>
            {
                while (cursor.MoveNext())
                {
                    score(ref values);
                    Assert.Equal(expected[read++], values.DenseValues());
                }
            });
            Assert.Equal(row, read);
            Assert.Contains($"Row {row}, column 'Image'", error);
            Assert.Contains($"Row {row}, column 'Image'", Error(() => Train(data, options)));
            rows[row].Image = rows[row == 0 ? 1 : 0].Image;
            expected[row] = expected[0];
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_file_that_is_missing_is_named_and_can_be_skipped(bool asBytes)
    {
        var rows = FileRows(40);
        var data = _context.Data.LoadFromEnumerable(rows);
        IEstimator<ITransformer> loading = asBytes
            ? _context.Transforms.LoadRawImageBytes("Image", _folder.Path, "Path")
            : _context.Transforms.LoadImages("Image", _folder.Path, "Path");
        var options = Options(epochs: 1);
        using var strict = loading.Append(Stripes.Pipeline(_context, options)).Fit(data);
        options.InvalidRows = InvalidRowHandling.Skip;
        using var skipping = loading.Append(Stripes.Pipeline(_context, options)).Fit(data);
        File.Delete(_folder.File("20.png"));

        string error = Error(() => Scores(strict, data));
        Assert.Contains("Row 20, column 'Image', file '20.png': the image cannot be read: ", error);
        var predictions = skipping.Transform(data).GetColumn<uint>("PredictedLabel").ToList();
        Assert.Equal([20], Enumerable.Range(0, 40).Where(i => predictions[i] == 0));
        Assert.Equal(1, skipping.LastTransformer.LastTransformer.InvalidRowCount);
        Assert.Contains("Row 20", Error(() => loading.Append(Stripes.Pipeline(_context, Options(epochs: 1))).Fit(data)));
        loading.Append(Stripes.Pipeline(_context, options)).Fit(data).Dispose();
    }

    [Fact]
    public void The_tag_of_an_image_need_not_be_an_image_file()
    {
        var rows = ImageRows(18);
        rows[3].Image!.Tag = _folder.Write("notes.txt", "text"u8.ToArray());
        rows[4].Image!.Tag = _folder.Path;
        rows[5].Image!.Tag = "any";
        using var model = Train(_context.Data.LoadFromEnumerable(rows));
        Assert.Equal(18, Scores(model, _context.Data.LoadFromEnumerable(rows)).Length);
    }

    [Fact]
    public void The_limit_on_pixels_is_checked_before_an_image_is_decoded()
    {
        using var model = Train(_context.Data.LoadFromEnumerable(ImageRows(18)));
        using var engine = Engine<BytesRow>(model.LastTransformer);
        string error = Error(() => engine.Predict(new BytesRow { Image = ImageFiles.PngOfClaimedSize(20_000, 20_000) }));
        Assert.Contains("20000 x 20000 pixels, more than the limit of 100,000,000", error);

        var options = Options(epochs: 1);
        options.MaximumImagePixels = 100;
        Assert.Contains("12 x 12 pixels, more than the limit of 100", Error(() => Train(_context.Data.LoadFromEnumerable(ImageRows(18)), options)));
    }

    [Fact]
    public void Orientation_is_applied_to_bytes_by_default()
    {
        byte[] upside = ImageFiles.Bytes("i-orientation-3.jpg");
        var rows = ImageRows(18).Select((row, i) => new BytesRow { Image = i == 0 ? upside : Encode(row.Image!), Label = row.Label }).ToList();
        var data = _context.Data.LoadFromEnumerable(rows);
        var turned = Options(epochs: 1);
        turned.ApplyExifOrientation = false;
        using var model = Train(data);
        using var stored = Train(data, turned);
        // MLImage has the pixels as stored; orientation 3 is a turn by 180 degrees.
        using var asStored = MLImage.CreateFromStream(new MemoryStream(upside));
        byte[] backwards = [.. asStored.Pixels.ToArray().Chunk(4).Reverse().SelectMany(pixel => pixel)];
        using var asShown = MLImage.CreateFromPixels(asStored.Width, asStored.Height, asStored.PixelFormat, backwards);
        foreach (var (transformer, expected) in new[] { (model, asShown), (stored, asStored) })
        {
            float[] score = Scores(transformer.LastTransformer, _context.Data.LoadFromEnumerable([new ImageRow { Image = expected }]))[0];
            Assert.Equal(score, Scores(transformer.LastTransformer, _context.Data.LoadFromEnumerable(rows.Take(1)))[0]);
        }

        byte[] Encode(MLImage image)
        {
            image.Save(_folder.File("encoded.png"));
            return File.ReadAllBytes(_folder.File("encoded.png"));
        }
    }

    [Fact]
    public void A_transparent_ground_has_the_background_colour_also_in_the_saved_model()
    {
        var rows = ImageRows(18);
        rows[0].Image = MLImage.CreateFromFile(ImageFiles.Path("i-black-on-transparent.png"));
        var data = _context.Data.LoadFromEnumerable(rows);
        var options = Options(epochs: 1);
        options.BackgroundColor = System.Drawing.Color.Yellow;
        using var white = Train(data);
        using var yellow = Train(data, options);
        foreach (var model in new[] { white, yellow })
        {
            using var stream = new MemoryStream();
            _context.Model.Save(model, data.Schema, stream);
            stream.Position = 0;
            var fresh = ImageRows(18);
            fresh[0].Image = MLImage.CreateFromFile(ImageFiles.Path("i-black-on-transparent.png"));
            var stock = new MLContext().Model.Load(stream, out _);
            Compare.Close([.. Scores(model, data).SelectMany(score => score)], [.. Scores(stock, _context.Data.LoadFromEnumerable(fresh)).SelectMany(score => score)], 1e-4);
        }

        // The icon scores as the same picture with the ground painted, and not as one with another ground.
        float[] icon = Scores(white, data)[0];
        Assert.Equal(Painted(255, 255, 255), icon);
        Assert.NotEqual(Painted(0, 0, 0), icon);

        float[] Painted(byte red, byte green, byte blue)
        {
            byte[] pixels = rows[0].Image!.Pixels.ToArray();
            bool bgra = rows[0].Image!.PixelFormat == MLPixelFormat.Bgra32;
            for (int i = 0; i < pixels.Length; i += 4)
            {
                if (pixels[i + 3] != 0)
                    continue;
                (pixels[i + (bgra ? 2 : 0)], pixels[i + 1], pixels[i + (bgra ? 0 : 2)], pixels[i + 3]) = (red, green, blue, 255);
            }
            using var image = MLImage.CreateFromPixels(rows[0].Image!.Width, rows[0].Image!.Height, rows[0].Image!.PixelFormat, pixels);
            return Scores(white.LastTransformer, _context.Data.LoadFromEnumerable([new ImageRow { Image = image }]))[0];
        }
    }

    [Theory]
    [InlineData(28, 28, 28, 28, "RepVGG-S1")]
    [InlineData(48, 40, 40, 48, "RepVGG-S2")]
    public void Images_of_one_size_are_not_resized_by_default(int width, int height, int networkHeight, int networkWidth, string architecture)
    {
        var rows = new List<FileRow>();
        foreach (var row in ImageRows(18, width, height))
        {
            row.Image!.Save(_folder.File($"{row.Number}.png"));
            rows.Add(new FileRow { Path = $"{row.Number}.png", Label = row.Label });
        }
        var data = _context.Data.LoadFromEnumerable(rows);
        using var model = _context.Transforms.LoadImages("Image", _folder.Path, "Path").Append(Stripes.Pipeline(_context, ByDefault())).Fit(data);
        Assert.Equal((networkHeight, networkWidth, architecture), Found(model.LastTransformer));
    }

    [Theory]
    [InlineData(28, 28, 28, 28)]
    [InlineData(320, 240, 224, 224)]
    [InlineData(200, 100, 100, 200)]
    public void Sizes_of_one_kind_of_images(int width, int height, int networkHeight, int networkWidth) =>
        Assert.Equal((networkHeight, networkWidth), ImageSizes.Choose([(width, height), (width, height)]));

    [Theory]
    [InlineData(40, 40)]
    [InlineData(41, 48)]
    [InlineData(64, 64)]
    [InlineData(65, 96)]
    [InlineData(1000, 224)]
    public void Sizes_of_mixed_images(int side, int networkSide) =>
        Assert.Equal((networkSide, networkSide), ImageSizes.Choose([(side, 10), (12, side), (30, 31), (side, side), (5, side + 1)]));

    [Fact]
    public void The_default_size_is_that_of_the_pictures()
    {
        var rows = Enumerable.Range(0, 18).Select(i => new BytesRow { Image = Encoded(32 + 2 * i, 30), Label = $"{i % 3}" }).ToList();
        using var model = Train(_context.Data.LoadFromEnumerable(rows), ByDefault());
        Assert.Equal((48, 48, "RepVGG-S2"), Found(model));

        // One option gives a square.
        var options = ByDefault();
        options.ImageHeight = 24;
        using var given = Train(_context.Data.LoadFromEnumerable(rows), options);
        Assert.Equal((24, 24, "RepVGG-S1"), Found(given));

        byte[] Encoded(int width, int height)
        {
            using var picture = Picture(0, width, height, 1);
            picture.Save(_folder.File("picture.png"));
            return File.ReadAllBytes(_folder.File("picture.png"));
        }
    }

    private static RepVggTrainer.Options ByDefault()
    {
        var options = Options(epochs: 1);
        (options.Architecture, options.ImageHeight, options.ImageWidth) = (null, null, null);
        return options;
    }

    private static (int, int, string) Found(TransformerChain<RepVggTransformer> model)
    {
        var network = model.LastTransformer.Network;
        return (network.ImageHeight, network.ImageWidth, network.Architecture.Name);
    }

    private static string Error(Action action) => Errors.AllMessages(Assert.ThrowsAny<Exception>(action));
}
