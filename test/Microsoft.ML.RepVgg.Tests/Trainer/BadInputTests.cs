using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Training;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>Every invalid input causes one error whose message names the column, row or option.</summary>
public sealed class BadInputTests
{
    private readonly MLContext _context = new(seed: 1);

    private string FitError<T>(IEnumerable<T> rows, RepVggTrainer.Options? options = null, bool mapLabel = true)
        where T : class
    {
        var data = _context.Data.LoadFromEnumerable(rows);
        var trainer = _context.MulticlassClassification.Trainers.RepVgg(options ?? Stripes.Options(epochs: 1));
        var error = Assert.ThrowsAny<Exception>(() =>
        {
            if (mapLabel)
                _context.Transforms.Conversion.MapValueToKey("Label").Append(trainer).Fit(data);
            else
                trainer.Fit(data);
        });
        Assert.IsNotType<NullReferenceException>(error);
        Assert.IsNotType<IndexOutOfRangeException>(error);
        return Errors.AllMessages(error);
    }

    private static string OptionsError(Action<RepVggTrainer.Options> change)
    {
        var options = Stripes.Options(epochs: 1);
        change(options);
        var context = new MLContext(seed: 1);
        var data = context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 1));
        return Assert.ThrowsAny<ArgumentException>(() => Stripes.Pipeline(context, options).Fit(data)).Message;
    }

    [Fact]
    public void Missing_label_column()
    {
        var options = Stripes.Options();
        options.LabelColumnName = "Class";
        Assert.Contains("Could not find label column 'Class'", FitError(Stripes.Rows(9, 1), options));
    }

    [Fact]
    public void Missing_feature_column()
    {
        var options = Stripes.Options();
        options.FeatureColumnName = "Picture";
        Assert.Contains("Could not find feature column 'Picture'", FitError(Stripes.Rows(9, 1), options));
    }

    [Fact]
    public void Label_that_is_no_key() =>
        Assert.Contains("Schema mismatch for label column 'Label'", FitError(Stripes.Rows(9, 1), mapLabel: false));

    /// <summary>An image as in an application that has SkiaSharp 3, whose methods ML.NET does not find.</summary>
    private sealed class UndecodableImage
    {
        public string Label { get; set; } = "a";

        [ImageType(8, 8)]
        public MLImage Features
        {
            get => throw new TypeInitializationException("SkiaSharp.SKBitmap", new MissingMethodException("Method not found: 'SkiaSharp.SKBitmap.GetPixelSpan()'."));
            set => _ = value;
        }
    }

    [Fact]
    public void An_application_that_cannot_decode_images_is_an_error_even_where_rows_are_skipped()
    {
        var options = Stripes.Options(epochs: 1);
        options.InvalidRows = InvalidRowHandling.Skip;
        string error = FitError([new UndecodableImage(), new UndecodableImage { Label = "b" }], options);
        Assert.Contains("ML.NET cannot read images in this application: Method not found: 'SkiaSharp.SKBitmap.GetPixelSpan()'. Its decoder needs SkiaSharp 2.88", error);
        Assert.DoesNotContain("Skip", error);
    }

    /// <summary>The same type of error, from the user's own code.</summary>
    private sealed class UnreadableRow
    {
        public string Label { get; set; } = "a";

        [ImageType(8, 8)]
        public MLImage Features
        {
            get => throw new MissingMethodException("Method not found: 'Camera.Take()'.");
            set => _ = value;
        }
    }

    [Fact]
    public void Errors_of_the_users_own_columns_are_not_taken_for_a_missing_decoder() =>
        Assert.Contains("Row 0, column 'Features': the image cannot be read: Method not found: 'Camera.Take()'", FitError([new UnreadableRow(), new UnreadableRow { Label = "b" }]));

    private sealed class TextFeatures
    {
        public string Label { get; set; } = "a";

        public string Features { get; set; } = "x";
    }

    private sealed class FlatRow
    {
        public string Label { get; set; } = "";

        [VectorType(Stripes.Size * Stripes.Size)]
        public float[] Features { get; set; } = [];
    }

    private static List<FlatRow> FlatRows(int count) =>
        [.. Stripes.Rows(count, 1).Select(row => new FlatRow { Label = row.Label, Features = row.Features })];

    [Fact]
    public void Flat_features_without_a_size() => Assert.Contains("Options.ImageHeight", FitError(FlatRows(9)));

    [Fact]
    public void Flat_features_of_the_wrong_length()
    {
        var options = Stripes.Options();
        (options.ImageHeight, options.ImageWidth, options.ImageChannels) = (10, 10, 1);
        string message = FitError(FlatRows(9), options);
        Assert.Contains("'Features' holds 144 values", message);
        Assert.Contains("100 are expected", message);
    }

    [Fact]
    public void Flat_features_with_the_right_size_train()
    {
        var options = Stripes.Options(epochs: 1);
        (options.ImageHeight, options.ImageWidth) = (Stripes.Size, Stripes.Size);
        var data = _context.Data.LoadFromEnumerable(FlatRows(60));
        using var model = Stripes.Pipeline(_context, options).Fit(data);
        Assert.Equal(60, model.Transform(data).GetColumn<float[]>("Score").Count());
    }

    [Fact]
    public void One_class_only()
    {
        var rows = Stripes.Rows(9, 1);
        rows.ForEach(row => row.Label = "same");
        Assert.Contains("has one class, 'same'; at least two are needed", FitError(rows));
    }

    [Fact]
    public void Key_type_with_two_classes_but_rows_of_one()
    {
        var map = _context.Transforms.Conversion.MapValueToKey("Label").Fit(_context.Data.LoadFromEnumerable(Stripes.Rows(9, 1)));
        var rows = Stripes.Rows(9, 1);
        rows.ForEach(row => row.Label = Stripes.Names[0]);
        var data = map.Transform(_context.Data.LoadFromEnumerable(rows));
        var error = Assert.ThrowsAny<Exception>(() => _context.MulticlassClassification.Trainers.RepVgg(Stripes.Options()).Fit(data));
        Assert.Contains("same label in column 'Label'", error.Message);
    }

    [Fact]
    public void Labels_that_are_all_missing()
    {
        var map = _context.Transforms.Conversion.MapValueToKey("Label").Fit(_context.Data.LoadFromEnumerable(Stripes.Rows(9, 1)));
        var rows = Stripes.Rows(9, 1);
        rows.ForEach(row => row.Label = "unknown");
        var data = map.Transform(_context.Data.LoadFromEnumerable(rows));
        var error = Assert.ThrowsAny<Exception>(() => _context.MulticlassClassification.Trainers.RepVgg(Stripes.Options()).Fit(data));
        Assert.Contains("Row 0, column 'Label': the label is missing", error.Message);

        var skipping = Stripes.Options();
        skipping.InvalidRows = InvalidRowHandling.Skip;
        error = Assert.ThrowsAny<Exception>(() => _context.MulticlassClassification.Trainers.RepVgg(skipping).Fit(data));
        Assert.Contains("None of the 9 rows", error.Message);
    }

    [Fact]
    public void Empty_data() => Assert.Contains("has no rows", FitError(new List<Stripes.Row>()));

    [Theory]
    [InlineData(4)]
    [InlineData(12)]
    public void Too_few_images_to_validate_on(int count)
    {
        string message = FitError(Stripes.Rows(count, 1));
        Assert.Contains($"{count} images are too few to split off 0.1 of each class for validation", message);
        Assert.Contains("Options.ValidationSetFraction = 0", message);
        var options = Stripes.Options(epochs: 1);
        (options.ValidationSetFraction, options.BatchSize) = (0, 4);
        Stripes.Pipeline(_context, options).Fit(_context.Data.LoadFromEnumerable(Stripes.Rows(count, 1))).Dispose();
    }

    private sealed class InterleavedRow
    {
        public string Label { get; set; } = "";

        [VectorType(Stripes.Size, Stripes.Size, 3)]
        public float[] Features { get; set; } = new float[Stripes.Size * Stripes.Size * 3];
    }

    [Fact]
    public void Interleaved_pixels()
    {
        string message = FitError([new InterleavedRow { Label = "a" }, new InterleavedRow { Label = "b" }]);
        Assert.Contains("(height, width, channels)", message);
        Assert.Contains("planar (channels, height, width), in the order R, G, B", message);
        Assert.Contains("ExtractPixels", message);
    }

    private sealed class IntegerRow
    {
        public string Label { get; set; } = "";

        [VectorType(1, Stripes.Size, Stripes.Size)]
        public int[] Features { get; set; } = new int[Stripes.Size * Stripes.Size];
    }

    [Fact]
    public void Pixels_of_another_number_type()
    {
        string message = FitError([new IntegerRow { Label = "a" }, new IntegerRow { Label = "b" }]);
        Assert.Contains("Schema mismatch for feature column 'Features'", message);
    }

    private sealed class RawBytesRow
    {
        public string Label { get; set; } = "";

        public byte[] Features { get; set; } = new byte[3 * Stripes.Size * Stripes.Size];
    }

    [Fact]
    public void Bytes_that_are_pixels_and_no_file()
    {
        var options = new RepVggTrainer.Options { ImageHeight = Stripes.Size, ImageWidth = Stripes.Size, Epochs = 1 };
        string message = FitError([new RawBytesRow { Label = "a" }, new RawBytesRow { Label = "b" }], options);
        Assert.Contains("Row 0, column 'Features': the image cannot be read", message);
        Assert.Contains("mlContext.Transforms.ConvertToImage", message);
    }

    [Fact]
    public void Paths_that_were_not_loaded()
    {
        string message = FitError([new TextFeatures(), new TextFeatures { Label = "b" }]);
        Assert.Contains("Schema mismatch for feature column 'Features'", message);
        Assert.Contains("LoadImages", message);
    }

    [Fact]
    public void A_validation_set_that_was_not_transformed()
    {
        var options = Stripes.Options(epochs: 1);
        options.ValidationSet = _context.Data.LoadFromEnumerable(Stripes.Rows(30, 2));
        string message = FitError(Stripes.Rows(30, 1), options);
        Assert.Contains("Options.ValidationSet does not fit", message);
        Assert.Contains("same fitted transformers as the training data", message);
    }

    [Fact]
    public void Options_are_checked_before_the_rows_are_read()
    {
        IEnumerable<Stripes.Row> Rows()
        {
            yield return Stripes.Rows(1, 1)[0];
            throw new InvalidOperationException("The rows were read.");
        }

        var map = _context.Transforms.Conversion.MapValueToKey("Label").Fit(_context.Data.LoadFromEnumerable(Stripes.Rows(9, 1)));
        var options = Stripes.Options();
        options.BatchSize = 1;
        var error = Assert.Throws<ArgumentException>(() => _context.MulticlassClassification.Trainers.RepVgg(options).Fit(map.Transform(_context.Data.LoadFromEnumerable(Rows()))));
        Assert.Contains("BatchSize is 1", error.Message);
    }

    [Fact]
    public void Empty_data_with_known_classes()
    {
        var map = _context.Transforms.Conversion.MapValueToKey("Label").Fit(_context.Data.LoadFromEnumerable(Stripes.Rows(9, 1)));
        var data = map.Transform(_context.Data.LoadFromEnumerable(new List<Stripes.Row>()));
        var error = Assert.ThrowsAny<Exception>(() => _context.MulticlassClassification.Trainers.RepVgg(Stripes.Options()).Fit(data));
        Assert.Contains("has no rows", error.Message);
    }

    [Fact]
    public void A_validation_set_with_other_keys()
    {
        var data = _context.Data.LoadFromEnumerable(Stripes.Rows(30, 1));
        var backwards = _context.Data.LoadFromEnumerable(Stripes.Rows(30, 2).AsEnumerable().Reverse());
        var options = Stripes.Options(epochs: 1);
        options.ValidationSet = _context.Transforms.Conversion.MapValueToKey("Label").Fit(backwards).Transform(backwards);
        var error = Assert.ThrowsAny<Exception>(() => Stripes.Pipeline(_context, options).Fit(data));
        Assert.Contains("has other keys", error.Message);
    }

    [Fact]
    public void A_key_without_rows_is_a_class_like_any_other()
    {
        var map = _context.Transforms.Conversion.MapValueToKey("Label").Fit(_context.Data.LoadFromEnumerable(Stripes.Rows(9, 1)));
        var data = map.Transform(_context.Data.LoadFromEnumerable(Stripes.Rows(90, 1).Where(row => row.Label != Stripes.Names[1])));
        using var model = _context.MulticlassClassification.Trainers.RepVgg(Stripes.Options(epochs: 1)).Fit(data);
        Assert.All(model.Transform(data).GetColumn<float[]>("Score"), score => Assert.Equal(3, score.Length));
    }

    [Fact]
    public void Pixels_that_are_no_numbers_are_an_error_or_skipped_and_counted()
    {
        var rows = Stripes.Rows(60, 1);
        rows[7].Features[3] = float.NaN;
        rows[11].Features[0] = float.PositiveInfinity;
        Assert.Contains("Row 7, column 'Features': value 3 is NaN", FitError(rows));

        var log = new List<string>();
        var context = new MLContext(seed: 1);
        context.Log += (_, line) => { lock (log) log.Add(line.Message); };
        var options = Stripes.Options(epochs: 1);
        options.InvalidRows = InvalidRowHandling.Skip;
        using var model = Stripes.Pipeline(context, options).Fit(context.Data.LoadFromEnumerable(rows));
        Assert.Contains(log, line => line.Contains("2 rows of the training data were skipped; the first: Row 7"));
        Assert.Equal(2, model.LastTransformer.SkippedTrainingRowCount);
    }

    [Fact]
    public void A_class_whose_rows_are_all_skipped_is_named()
    {
        var rows = Stripes.Rows(60, 1);
        foreach (var row in rows.Where(row => row.Label == Stripes.Names[1]))
            row.Features[3] = float.NaN;
        var options = Stripes.Options(epochs: 1);
        options.InvalidRows = InvalidRowHandling.Skip;
        string message = FitError(rows, options);
        Assert.Contains($"All rows of the class '{Stripes.Names[1]}' would be skipped, so that the model could never predict it. The first skipped row: Row ", message);
        Assert.Contains("value 3 is NaN", message);

        // Of a validation set, the class may be missing.
        options.ValidationSetFraction = 0;
        var labels = _context.Transforms.Conversion.MapValueToKey("Label").Fit(_context.Data.LoadFromEnumerable(rows));
        options.ValidationSet = labels.Transform(_context.Data.LoadFromEnumerable(rows));
        using var model = _context.MulticlassClassification.Trainers.RepVgg(options).Fit(labels.Transform(_context.Data.LoadFromEnumerable(Stripes.Rows(60, 1))));
    }

    [Fact]
    public void Unknown_architecture_lists_the_known_ones()
    {
        var options = new RepVggTrainer.Options();
        string message = Assert.Throws<ArgumentException>(() => options.Architecture = "ResNet-50").Message;
        Assert.Contains("There is no RepVGG variant named 'ResNet-50'", message);
        foreach (var variant in RepVggVariants.All)
            Assert.Contains(variant.Name, message);
        Assert.Null(options.Architecture);
    }

    [Fact]
    public void Architecture_is_given_by_name_or_by_value_or_not_at_all()
    {
        var options = new RepVggTrainer.Options { Architecture = "RepVGG-A0" };
        Assert.Same(RepVggVariants.A0, options.Architecture);
        options.Architecture = "b1G4";
        Assert.Equal("RepVGG-B1g4", options.Architecture.Name);
        options.Architecture = Stripes.Tiny;
        Assert.Same(Stripes.Tiny, options.Architecture);
        options.Architecture = (string?)null;
        Assert.Null(options.Architecture);
    }

    [Fact]
    public void Image_smaller_than_the_stride()
    {
        string message = OptionsError(options => options.Architecture = "RepVGG-A0");
        Assert.Contains("12", message);
        Assert.Contains("32", message);
    }

    public static TheoryData<string, Action<RepVggTrainer.Options>> Options => new()
    {
        { "Epochs", options => options.Epochs = 0 },
        { "BatchSize", options => options.BatchSize = 1 },
        { "LearningRate", options => options.LearningRate = -1 },
        { "LearningRate", options => options.LearningRate = float.NaN },
        { "Optimizer", options => options.Optimizer = null! },
        { "Momentum", options => options.Optimizer = new SgdOptions(Momentum: 1) },
        { "Beta2", options => options.Optimizer = new AdamWOptions(Beta2: 1) },
        { "GradientClipNorm", options => options.GradientClipNorm = 0 },
        { "GradientAccumulationSteps", options => options.GradientAccumulationSteps = 0 },
        { "GradientAccumulationSteps", options => options.GradientAccumulationSteps = 1000 },
        { "LearningRateBaseSize", options => options.LearningRateBaseSize = 0 },
        { "LayerLearningRateDecay", options => options.LayerLearningRateDecay = 2 },
        { "AveragedCheckpoints", options => options.AveragedCheckpoints = -1 },
        { "Power", options => options.LearningRateScheduler = new() { Power = 0 } },
        { "Distillation.TeacherPath", options => options.Distillation = new() { TeacherPath = " " } },
        { "Distillation.Temperature", options => options.Distillation = new() { TeacherPath = "a", Temperature = 0 } },
        { "Distillation.Weight", options => options.Distillation = new() { TeacherPath = "a", Weight = 0 } },
        { "WeightDecay", options => options.WeightDecay = -1 },
        { "LabelSmoothing", options => options.LabelSmoothing = 1 },
        { "ValidationSetFraction", options => options.ValidationSetFraction = 1 },
        { "ImageChannels", options => options.ImageChannels = 2 },
        { "ImageChannels", options => options.ImageChannels = 0 },
        { "LabelColumnName", options => options.LabelColumnName = "" },
        { "ScoreColumnName", options => options.PredictedLabelColumnName = "Score" },
        { "Threads", options => options.NumberOfThreads = -1 },
        { "Normalization", options => options.Normalization = global::RepVgg.Architectures.Normalization.Identity(3) },
    };

    [Theory]
    [MemberData(nameof(Options))]
    public void Options_out_of_range_are_named(string name, Action<RepVggTrainer.Options> change) =>
        Assert.Contains(name, OptionsError(change), StringComparison.OrdinalIgnoreCase);

    [Fact]
    public void A_learning_rate_that_diverges()
    {
        var options = Stripes.Options(epochs: 5);
        options.LearningRate = 1e6f;
        var data = _context.Data.LoadFromEnumerable(Stripes.Rows(60, 1));
        var error = Assert.Throws<TrainingDivergedException>(() => Stripes.Pipeline(_context, options).Fit(data));
        Assert.Contains("smaller learning rate", error.Message);
    }

    [Fact]
    public void An_unwritable_path_leaves_nothing_behind()
    {
        string folder = Directory.CreateTempSubdirectory("repvgg-test-").FullName;
        try
        {
            var data = _context.Data.LoadFromEnumerable(Stripes.Rows(60, 1));
            using var model = Stripes.Pipeline(_context, Stripes.Options(epochs: 1)).Fit(data);
            string occupied = Path.Combine(folder, "occupied");
            Directory.CreateDirectory(occupied);
            Assert.ThrowsAny<Exception>(() => model.LastTransformer.ExportToOnnx(occupied));
            Assert.ThrowsAny<Exception>(() => model.LastTransformer.ExportToOnnx(Path.Combine(folder, "no", "where.onnx")));
            Assert.Equal([occupied], Directory.GetFileSystemEntries(folder));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    public void A_truncated_or_foreign_model_file(int length)
    {
        byte[] bytes = new byte[length];
        new Random(1).NextBytes(bytes);
        var error = Assert.ThrowsAny<Exception>(() => _context.Model.Load(new MemoryStream(bytes), out _));
        Assert.True(error is not NullReferenceException and not IndexOutOfRangeException, error.ToString());
    }
}
