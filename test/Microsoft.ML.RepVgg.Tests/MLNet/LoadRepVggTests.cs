using System.Buffers.Binary;
using System.IO.Compression;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Interop;
using Microsoft.ML.RepVgg.Tests.Trainer;
using Microsoft.ML.Transforms.Image;
using RepVgg.Inference;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Onnx;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet;

/// <summary>Saved models are loaded with the transformers of this library, and are as good as the trained ones.</summary>
public sealed class LoadRepVggTests(TrainedStripes trained) : IClassFixture<TrainedStripes>, IDisposable
{
    private readonly MLContext _context = trained.Context;
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private sealed class PathRow
    {
        public string Path { get; set; } = "";

        public string Label { get; set; } = "";
    }

    private string Save(ITransformer model, DataViewSchema? schema = null)
    {
        string path = _folder.File($"{Guid.NewGuid():N}.zip");
        _context.Model.Save(model, schema ?? trained.TrainingData.Schema, path);
        return path;
    }

    /// <summary>Changes the ONNX file in a model file.</summary>
    private static void ChangeNetwork(string path, Func<byte[], byte[]> change)
    {
        using var archive = ZipFile.Open(path, ZipArchiveMode.Update);
        var entry = archive.Entries.Single(entry => entry.Name == "OnnxModel");
        string name = entry.FullName;
        using var content = new MemoryStream();
        using (var stream = entry.Open())
            stream.CopyTo(content);
        entry.Delete();
        using var written = archive.CreateEntry(name).Open();
        written.Write(change(content.ToArray()));
    }

    private static IEnumerable<ITransformer> Flatten(ITransformer transformer) =>
        transformer is IEnumerable<ITransformer> parts ? parts.SelectMany(Flatten) : [transformer];

    private static float[] Scores(ITransformer model, IDataView data, string column = "Score") =>
        [.. model.Transform(data).GetColumn<float[]>(column).SelectMany(score => score)];

    private static IEnumerable<string> Describe(DataViewSchema schema) =>
        schema.Where(column => !column.IsHidden).Select(column => $"{column.Name} {column.Type} {string.Join(',', column.Annotations.Schema.Select(kind => kind.Name).Order())}").Order();

    [Fact]
    public void The_loaded_model_has_the_scores_the_columns_and_the_classes_of_the_trained_one()
    {
        using var loaded = new MLContext().Model.LoadRepVgg(Save(trained.Model), out var schema);
        Assert.Equal(trained.TrainingData.Schema.Select(column => column.Name), schema!.Select(column => column.Name));
        var (ours, original) = (Assert.IsType<RepVggTransformer>(loaded.Last()), trained.Model.LastTransformer);
        Assert.Equal(2, Flatten(loaded).Count());
        Assert.Equal(original.Labels, ours.Labels);
        Assert.Equal(original.Architecture, ours.Architecture);
        Assert.Equal((original.FeatureColumnName, original.ScoreColumnName, original.PredictedLabelColumnName), (ours.FeatureColumnName, ours.ScoreColumnName, ours.PredictedLabelColumnName));
        Assert.Equal(Describe(((ITransformer)trained.Model).GetOutputSchema(trained.TrainingData.Schema)), Describe(((ITransformer)loaded).GetOutputSchema(trained.TrainingData.Schema)));
        Compare.Close(Scores(trained.Model, trained.TestData), Scores(loaded, trained.TestData), 1e-6);
        Assert.Equal(
            trained.Model.Transform(trained.TestData).GetColumn<uint>("PredictedLabel"),
            loaded.Transform(trained.TestData).GetColumn<uint>("PredictedLabel"));
    }

    [Fact]
    public void It_is_evaluated_exported_and_saved_again()
    {
        using var loaded = new MLContext().Model.LoadRepVgg(Save(trained.Model), out _);
        var metrics = _context.MulticlassClassification.Evaluate(loaded.Transform(trained.TestData));
        Assert.Equal(_context.MulticlassClassification.Evaluate(trained.Model.Transform(trained.TestData)).MicroAccuracy, metrics.MicroAccuracy);

        string onnx = _folder.File("network.onnx");
        ((RepVggTransformer)loaded.Last()).ExportToOnnx(onnx);
        Assert.Equal(trained.Model.LastTransformer.Labels, OnnxReader.ReadDescription(onnx)!.ClassLabels);
        using var engine = InferenceEngine.Open(onnx);
        Assert.Equal(3, engine.Classes);

        string again = Save(loaded);
        Compare.Close(Scores(trained.Model, trained.TestData), Scores(new MLContext().Model.Load(again, out _), trained.TestData), 1e-4);
        using var twice = new MLContext().Model.LoadRepVgg(again, out _);
        Compare.Close(Scores(trained.Model, trained.TestData), Scores(twice, trained.TestData), 1e-6);
    }

    [Fact]
    public void A_model_that_ML_NET_loaded_is_upgraded()
    {
        var stock = new MLContext().Model.Load(Save(trained.Model), out _);
        using var upgraded = new MLContext().Model.UpgradeRepVgg(stock);
        Assert.IsType<RepVggTransformer>(upgraded.Last());
        Compare.Close(Scores(stock, trained.TestData), Scores(upgraded, trained.TestData), 1e-4);
    }

    [Fact]
    public void A_transformer_that_was_saved_alone_is_loaded()
    {
        var data = trained.Model.First().Transform(trained.TestData);
        using var loaded = new MLContext().Model.LoadRepVgg(Save(trained.Model.LastTransformer, data.Schema), out _);
        Assert.IsType<RepVggTransformer>(Assert.Single(loaded));
        Compare.Close(Scores(trained.Model.LastTransformer, data), Scores(loaded, data), 1e-6);
    }

    [Fact]
    public void Several_networks_of_one_pipeline_are_loaded_in_their_places()
    {
        var second = Stripes.Options(epochs: 1);
        (second.ScoreColumnName, second.PredictedLabelColumnName, second.Seed) = ("Score2", "PredictedLabel2", 9);
        var pipeline = Stripes.Pipeline(_context)
            .Append(_context.MulticlassClassification.Trainers.RepVgg(second))
            .Append(_context.Transforms.RepVggFeaturizer("Deep", trained.Model.LastTransformer, "Features"))
            .Append(_context.Transforms.Conversion.MapKeyToValue("PredictedLabel2"));
        using var model = pipeline.Fit(trained.TrainingData);
        using var loaded = new MLContext().Model.LoadRepVgg(Save(model), out _);
        Assert.Equal(2, Flatten(loaded).OfType<RepVggTransformer>().Count());
        Assert.Single(Flatten(loaded).OfType<RepVggFeaturizingTransformer>());
        foreach (string column in new[] { "Score", "Score2", "Deep" })
            Compare.Close(Scores(model, trained.TestData, column), Scores(loaded, trained.TestData, column), 1e-6, column);
        Assert.Equal(model.Transform(trained.TestData).GetColumn<string>("PredictedLabel2"), loaded.Transform(trained.TestData).GetColumn<string>("PredictedLabel2"));
    }

    [Theory]
    [InlineData(ImageResizingEstimator.ResizingKind.IsoCrop, 3)]
    [InlineData(ImageResizingEstimator.ResizingKind.IsoPad, 1)]
    [InlineData(ImageResizingEstimator.ResizingKind.Fill, 3)]
    public void Image_pipelines_are_loaded_with_their_preprocessing(ImageResizingEstimator.ResizingKind kind, int channels)
    {
        var random = new Random(1);
        var rows = new List<PathRow>();
        for (int i = 0; i < 30; i++)
        {
            int width = 15 + i % 4, height = 13 + i % 3;
            byte[] pixels = new byte[4 * width * height];
            random.NextBytes(pixels);
            for (int p = 3; p < pixels.Length; p += 4)
                pixels[p] = (byte)(i % 2 == 0 ? 255 : p % 256);
            using var picture = MLImage.CreateFromPixels(width, height, MLPixelFormat.Rgba32, pixels);
            picture.Save(_folder.File($"{i}.png"));
            rows.Add(new PathRow { Path = $"{i}.png", Label = $"{i % 3}" });
        }
        var data = _context.Data.LoadFromEnumerable(rows);
        var options = Stripes.Options(epochs: 1);
        (options.FeatureColumnName, options.ImageHeight, options.ImageWidth, options.ImageChannels, options.Resizing) = ("Image", 12, 12, channels, kind);
        options.BackgroundColor = System.Drawing.Color.FromArgb(10, 200, 90);
        using var model = _context.Transforms.LoadImages("Image", _folder.Path, "Path").Append(Stripes.Pipeline(_context, options)).Fit(data);
        string path = Save(model, data.Schema);
        using var loaded = new MLContext().Model.LoadRepVgg(path, out _);
        Compare.Close(Scores(model, data), Scores(loaded, data), 1e-6);
        Compare.Close(Scores(new MLContext().Model.Load(path, out _), data), Scores(loaded, data), 1e-4);
    }

    [Fact]
    public void Pipelines_that_load_the_content_of_files_are_saved_and_loaded()
    {
        var rows = Enumerable.Range(0, 30).Select(i => new PathRow { Path = $"{i}.png", Label = $"{i % 3}" }).ToList();
        for (int i = 0; i < 30; i++)
        {
            using var picture = MLImage.CreateFromPixels(12, 12, MLPixelFormat.Rgba32, [.. Enumerable.Range(0, 4 * 12 * 12).Select(p => p % 4 == 3 ? (byte)255 : (byte)(i * p))]);
            picture.Save(_folder.File(rows[i].Path));
        }
        var data = _context.Data.LoadFromEnumerable(rows);
        var options = Stripes.Options(epochs: 1);
        (options.FeatureColumnName, options.ImageHeight, options.ImageWidth, options.InvalidRows) = ("Image", 12, 12, InvalidRowHandling.Skip);
        using var model = _context.Transforms.LoadRawImageBytes("Image", _folder.Path, "Path").Append(Stripes.Pipeline(_context, options)).Fit(data);
        string path = Save(model, data.Schema);
        using var loaded = new MLContext().Model.LoadRepVgg(path, out _, new RepVggLoadOptions { InvalidRows = InvalidRowHandling.Skip, NumberOfThreads = 1, ScoringBatchSize = 4 });
        Compare.Close(Scores(model, data), Scores(loaded, data), 1e-6);

        File.WriteAllBytes(_folder.File("3.png"), [1, 2, 3]);
        Assert.Equal(0u, loaded.Transform(data).GetColumn<uint>("PredictedLabel").ElementAt(3));
        Assert.Equal(1, Flatten(loaded).OfType<RepVggTransformer>().Single().InvalidRowCount);
    }

    [Fact]
    public void Empty_chains_stay_where_they_are()
    {
        var empty = new TransformerChain<ITransformer>();
        var model = new TransformerChain<ITransformer>(empty, trained.Model, new TransformerChain<ITransformer>(empty, _context.Transforms.CopyColumns("Number2", "Number").Fit(trained.TrainingData)));
        using var loaded = new MLContext().Model.LoadRepVgg(Save(model), out _);
        Assert.Equal(3, loaded.Count());
        Assert.Empty(Assert.IsType<TransformerChain<ITransformer>>(loaded.First()));
        Assert.IsType<RepVggTransformer>(Flatten(loaded.ElementAt(1)).Last());
        Compare.Close(Scores(trained.Model, trained.TestData), Scores(loaded, trained.TestData), 1e-6);
        Assert.Equal(Enumerable.Range(0, 75), loaded.Transform(trained.TestData).GetColumn<int>("Number2"));
    }

    [Fact]
    public void A_stream_is_read_from_its_position_on()
    {
        byte[] model = File.ReadAllBytes(Save(trained.Model));
        using var stream = new MemoryStream([1, 2, 3, .. model]) { Position = 3 };
        using var loaded = new MLContext().Model.LoadRepVgg(stream, out _);
        Compare.Close(Scores(trained.Model, trained.TestData), Scores(loaded, trained.TestData), 1e-6);
    }

    [Theory]
    [InlineData("\"size\":[1,12,12]", "\"size\":[1,12,13]")]
    [InlineData("\"resizing\":\"IsoCrop\"", "\"resizing\":77       ")]
    [InlineData("\"output_column\"", "\"output_columx\"")]
    public void A_damaged_description_is_refused(string text, string damaged)
    {
        string path = Save(trained.Model);
        ChangeNetwork(path, bytes =>
        {
            int position = bytes.AsSpan().IndexOf(System.Text.Encoding.UTF8.GetBytes(text));
            Assert.True(position > 0);
            System.Text.Encoding.UTF8.GetBytes(damaged).CopyTo(bytes, position);
            return bytes;
        });
        var error = Assert.Throws<InvalidDataException>(() => _context.Model.LoadRepVgg(path, out _));
        Assert.Contains("description of its RepVGG network is damaged", error.Message);
    }

    [Fact]
    public async Task Neither_loading_nor_scoring_uses_ONNX_Runtime()
    {
        string path = Save(trained.Model);
        Assert.Equal("", (await Program.Child.RunAsync("loaded-onnxruntime", "engine", path)).Trim());
        // Verifies the method of the test: ML.NET's own loading uses it.
        Assert.Contains("onnxruntime", await Program.Child.RunAsync("loaded-onnxruntime", "stock", path));
    }

    [Fact]
    public void Files_that_contain_no_network_of_this_library_are_refused()
    {
        string text = _folder.File("text.zip");
        File.WriteAllText(text, "This is no model.");
        Assert.Contains("it is no zip file", Assert.Throws<InvalidDataException>(() => _context.Model.LoadRepVgg(text, out _)).Message);

        string other = Save(trained.Model.First());
        string message = Assert.Throws<InvalidDataException>(() => _context.Model.LoadRepVgg(other, out _)).Message;
        Assert.Contains("contains no RepVGG network that this library saved", message);
        Assert.Contains(other, message);
        Assert.Throws<InvalidDataException>(() => _context.Model.UpgradeRepVgg(trained.Model.First()));
        Assert.Throws<FileNotFoundException>(() => _context.Model.LoadRepVgg(_folder.File("none.zip"), out _));
    }

    [Fact]
    public void A_model_that_was_saved_with_a_data_loader_is_loaded()
    {
        string path = _folder.File("model.zip");
        var loader = _context.Data.CreateTextLoader([new TextLoader.Column("Label", DataKind.String, 0), new TextLoader.Column("Features", DataKind.Single, 1, 144)]);
        foreach (ITransformer model in new ITransformer[] { trained.Model, trained.Model.LastTransformer })
        {
            _context.Model.Save(model, loader, path);
            using var loaded = _context.Model.LoadRepVgg(path, out var schema);
            Assert.Equal(["Label", "Features"], schema!.Select(column => column.Name));
            var data = trained.TestData;
            if (model != trained.Model)
                data = trained.Model.First().Transform(data);
            Assert.Equal(Scores(model.Transform(data)), Scores(loaded.Transform(data)));
        }

        float[][] Scores(IDataView view) => [.. _context.Data.CreateEnumerable<Stripes.Prediction>(view, reuseRowObject: false, ignoreMissingColumns: true).Select(row => row.Score)];
    }

    [Fact]
    public void Networks_beyond_the_limits_are_refused()
    {
        string path = Save(trained.Model);
        int side = Stripes.Size;
        Assert.Contains($"images of {side} x {side} pixels (height x width) are too large: the limit is {side - 1} pixels per side", Refusal(new WeightsFileLimits { MaximumImageSide = side - 1 }));
        Assert.Contains($"they have {side * side} values, and the limit is {side * side - 1}", Refusal(new WeightsFileLimits { MaximumImageValues = side * side - 1 }));
        Assert.Contains($"The network cannot be run: images of {side} x {side} pixels (height x width) are too large for the network", Refusal(new WeightsFileLimits { MaximumWorkspaceBytes = 1000 }));
        Assert.Throws<InvalidDataException>(() => _context.Model.UpgradeRepVgg(trained.Model, new RepVggLoadOptions { ModelLimits = new WeightsFileLimits { MaximumWorkspaceBytes = 1000 } }));
        Assert.Throws<ArgumentException>(() => _context.Model.LoadRepVgg(path, out _, new RepVggLoadOptions { ModelLimits = new WeightsFileLimits { MaximumImageSide = 0 } }));
        _context.Model.LoadRepVgg(path, out _, new RepVggLoadOptions { ModelLimits = new WeightsFileLimits { MaximumImageSide = side } }).Dispose();

        string Refusal(WeightsFileLimits limits)
        {
            string message = Assert.Throws<InvalidDataException>(() => _context.Model.LoadRepVgg(path, out _, new RepVggLoadOptions { ModelLimits = limits })).Message;
            Assert.StartsWith($"The model '{path}' cannot be loaded. ", message);
            return message;
        }
    }

    [Fact]
    public void Entries_that_declare_more_bytes_than_they_can_have_are_refused()
    {
        byte[] model = File.ReadAllBytes(Save(trained.Model));
        int[] entries = [.. Enumerable.Range(0, model.Length - 4).Where(at => model.AsSpan(at, 4).SequenceEqual("PK\u0001\u0002"u8))];
        Assert.NotEmpty(entries);
        foreach (int entry in entries)
        {
            const int LengthOffset = 24;
            byte[] changed = [.. model];
            BinaryPrimitives.WriteUInt32LittleEndian(changed.AsSpan(entry + LengthOffset), 2_000_000_000);
            Assert.Contains("cannot have 2000000000 bytes", Refusal(changed));
        }
    }

    [Fact]
    public void Entries_that_share_their_bytes_are_refused()
    {
        const int Count = 5000, Length = 1_000_000;
        byte[] zip = Zip("a", new byte[Length]);
        int directory = zip.AsSpan().LastIndexOf("PK\u0001\u0002"u8), end = zip.AsSpan().LastIndexOf("PK\u0005\u0006"u8);
        byte[] record = zip[directory..end], tail = zip[end..];
        BinaryPrimitives.WriteUInt16LittleEndian(tail.AsSpan(8), Count);
        BinaryPrimitives.WriteUInt16LittleEndian(tail.AsSpan(10), Count);
        BinaryPrimitives.WriteInt32LittleEndian(tail.AsSpan(12), Count * record.Length);
        Assert.Contains("cannot have 5000000000 bytes together", Refusal([.. zip[..directory], .. Enumerable.Repeat(record, Count).SelectMany(bytes => bytes), .. tail]));
    }

    [Fact]
    public void Control_characters_of_a_file_are_not_in_the_message()
    {
        foreach (byte[] content in (byte[][])[[5, 0, 0, 0], [0, 0, 0, 0, 0], [255, 255, 255, 255]])
        {
            string message = Refusal(Zip($"\u001b[31m{new string('a', 500)}/OnnxModel", content));
            Assert.Contains("the entry '?[31maaa", message);
            Assert.DoesNotContain(message, char.IsControl);
            Assert.InRange(message.Length, 1, 400);
        }
    }

    [Fact]
    public void A_folder_for_temporary_files_that_cannot_be_written_is_no_damage()
    {
        foreach (var cause in new Exception[] { new IOException("No space left on device"), new UnauthorizedAccessException("Denied"), new DirectoryNotFoundException("None") })
        {
            using var stream = File.OpenRead(Save(trained.Model));
            var error = Assert.Throws<IOException>(() => SavedModel.Load(stream, _ => throw new System.Reflection.TargetInvocationException(cause), new WeightsFileLimits(), (_, _) => throw new NotSupportedException()));
            Assert.Equal($"A file cannot be written to or read from the folder for temporary files, '{Path.GetTempPath()}': {cause.Message}.", error.Message);
        }
        foreach (var cause in new Exception[] { new EndOfStreamException("The end"), new FormatException("No model") })
        {
            using var stream = File.OpenRead(Save(trained.Model));
            Assert.Contains("It is damaged", Assert.Throws<InvalidDataException>(() => SavedModel.Load(stream, _ => throw cause, new WeightsFileLimits(), (_, _) => throw new NotSupportedException())).Message);
        }
    }

    private static byte[] Zip(string name, byte[] content)
    {
        using var stream = new MemoryStream();
        using (var archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
        {
            using var entry = archive.CreateEntry(name, CompressionLevel.NoCompression).Open();
            entry.Write(content);
        }
        return stream.ToArray();
    }

    /// <summary>The message for a model that is refused in memory that is in proportion to its size.</summary>
    private string Refusal(byte[] model)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        string message = Assert.Throws<InvalidDataException>(() => _context.Model.LoadRepVgg(new MemoryStream(model), out _)).Message;
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 100L * model.Length + (4 << 20));
        return message;
    }

    [Fact]
    public void A_save_that_fails_leaves_the_old_model()
    {
        string path = _folder.File("model.zip");
        _context.Model.SaveRepVgg(trained.Model, trained.TrainingData.Schema, path);
        byte[] before = File.ReadAllBytes(path);
        using var disposed = new Unsaved();
        Assert.Throws<IOException>(() => _context.Model.SaveRepVgg(trained.Model.Append<ITransformer>(disposed), trained.TrainingData.Schema, path));
        Assert.Equal(before, File.ReadAllBytes(path));
        Assert.Equal(["model.zip"], Directory.GetFiles(_folder.Path).Select(Path.GetFileName));

        // The method of the test: ML.NET's own Save destroys it.
        Assert.Throws<IOException>(() => _context.Model.Save(trained.Model.Append<ITransformer>(disposed), trained.TrainingData.Schema, path));
        Assert.NotEqual(before, File.ReadAllBytes(path));
        Assert.Throws<DirectoryNotFoundException>(() => _context.Model.SaveRepVgg(trained.Model, null, _folder.File("none/model.zip")));
    }

    [Fact]
    public async Task A_folder_for_temporary_files_that_cannot_be_used_is_named()
    {
        // The folder lies in a file, so that nothing can create it.
        string path = Save(trained.Model), folder = Path.Combine(path, "temporary");
        var (code, _, errors) = await Program.Child.RunWithAsync(new() { ["TMPDIR"] = folder, ["TEMP"] = folder, ["TMP"] = folder }, "load", path);
        Assert.NotEqual(0, code);
        Assert.Contains("the folder for temporary files, '" + folder, errors);
        Assert.Contains(OperatingSystem.IsWindows() ? "variable TEMP" : "variable TMPDIR", errors);
    }

    /// <summary>A transformer that cannot be saved.</summary>
    private sealed class Unsaved : ITransformer, IDisposable
    {
        public bool IsRowToRowMapper => false;

        public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => inputSchema;

        public IRowToRowMapper GetRowToRowMapper(DataViewSchema inputSchema) => throw new NotSupportedException();

        public IDataView Transform(IDataView input) => input;

        public void Save(ModelSaveContext ctx) => throw new IOException("The disk is full.");

        public void Dispose()
        {
        }
    }

    [Theory]
    [InlineData(100)]
    [InlineData(2000)]
    public void A_damaged_network_is_refused(int kept)
    {
        string path = Save(trained.Model);
        ChangeNetwork(path, bytes => bytes[..kept]);
        Assert.Throws<InvalidDataException>(() => _context.Model.LoadRepVgg(path, out _));
    }

    [Fact]
    public void A_changed_bit_in_the_weights_is_refused()
    {
        string path = Save(trained.Model);
        byte[] file = File.ReadAllBytes(path), network = [];
        ChangeNetwork(path, bytes => network = bytes);
        // ML.NET compresses nothing, so that the weights are in the file as they are.
        int at = file.AsSpan().IndexOf(network.AsSpan(network.Length / 2, 64));
        if (at < 0)
            at = file.Length / 2;
        file[at] ^= 0x10;
        File.WriteAllBytes(path, file);
        Assert.Contains("damaged", Assert.Throws<InvalidDataException>(() => _context.Model.LoadRepVgg(path, out _)).Message);
    }
}
