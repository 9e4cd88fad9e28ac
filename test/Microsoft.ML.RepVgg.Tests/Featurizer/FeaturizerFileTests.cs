using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Naming;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Featurizer;

/// <summary>Featurizers from files of weights, on images of any size.</summary>
public sealed class FeaturizerFileTests : IDisposable
{
    private const int Size = 40;
    private const int Classes = 5;

    private static readonly Normalization _own = new([100, 110, 120], [0.02f, 0.021f, 0.022f]);

    private readonly MLContext _context = new(seed: 1);
    private readonly string _folder = Directory.CreateTempSubdirectory("repvgg-test-").FullName;
    private readonly RepVggArchitecture _architecture = RepVggVariants.Create("small", [1, 2, 1, 1], 0.25, 0.25);
    private readonly StateDict _state;

    public FeaturizerFileTests() => _state = RandomStates.Training(_architecture, Classes);

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private sealed class Row
    {
        [VectorType(3, Size, Size)]
        public float[] Pixels { get; set; } = [];
    }

    private sealed class Picture
    {
        [ImageType(50, 60)]
        public MLImage? Image { get; set; }
    }

    private sealed class FileRow
    {
        public string Path { get; set; } = "";
    }

    private string PathOf(string name) => Path.Combine(_folder, name);

    private DeployNetwork Fused(Normalization normalization) => DeployNetwork.FromTrainingForm(_architecture, _state, Size, Size, normalization);

    private string Write(string kind)
    {
        string path = PathOf(kind);
        switch (kind)
        {
            case "train.pth":
                PthWriter.Write(_state, path);
                break;
            case "deploy.pth":
                PthWriter.Write(Fused(_own).ExportState(), path);
                break;
            case "train.safetensors":
                SafetensorsWriter.Write(_state, path, Fused(_own).Describe());
                break;
            case "backbone.pth":
                PthWriter.Write(Backbone("stage", "module.stage"), path);
                break;
            case "timm-backbone.safetensors":
                SafetensorsWriter.Write(TimmNames.FromAuthors(Backbone("", "")), path);
                break;
            case "plain.safetensors":
                SafetensorsWriter.Write(_state, path);
                break;
            default:
                OnnxWriter.Write(Fused(_own), path);
                break;
        }
        return path;
    }

    /// <summary>The weights without the classifier.</summary>
    private StateDict Backbone(string from, string to)
    {
        var backbone = new StateDict();
        foreach (var (name, tensor) in _state)
        {
            if (!name.StartsWith("linear.", StringComparison.Ordinal))
                backbone[to + name[from.Length..]] = tensor;
        }
        return backbone;
    }

    private IDataView Rows(int count)
    {
        float[] pixels = RandomNetworks.Pixels(Fused(_own), count);
        return _context.Data.LoadFromEnumerable(pixels.Chunk(3 * Size * Size).Select(image => new Row { Pixels = image }));
    }

    [Theory]
    [InlineData("train.pth", false)]
    [InlineData("deploy.pth", false)]
    [InlineData("plain.safetensors", false)]
    [InlineData("backbone.pth", false)]
    [InlineData("timm-backbone.safetensors", false)]
    [InlineData("train.safetensors", true)]
    [InlineData("deploy.onnx", true)]
    public void Any_file_gives_the_features_with_its_own_normalisation_or_imagenets(string kind, bool describesItself)
    {
        const int Count = 35;
        var data = Rows(Count);
        using var featurizer = _context.Transforms.RepVggFeaturizer("Features", Write(kind), "Pixels").Fit(data);
        float[] pixels = RandomNetworks.Pixels(Fused(_own), Count);
        float[] expected = ReferenceNetwork.Outputs(Fused(describesItself ? _own : Normalization.ImageNet).TakeFeatures(), pixels, Count);
        Compare.Close(expected, [.. featurizer.Transform(data).GetColumn<float[]>("Features").SelectMany(features => features)], 1e-5);
    }

    [Fact]
    public void Files_beyond_the_limits_are_refused()
    {
        Assert.Contains($"images of {Size} x {Size} pixels (height x width) are too large: the limit is {Size - 1} pixels per side", Refusal(new WeightsFileLimits { MaximumImageSide = Size - 1 }));
        Assert.Contains($"images of {Size} x {Size} pixels (height x width) are too large for the network", Refusal(new WeightsFileLimits { MaximumWorkspaceBytes = 1000 }));

        string Refusal(WeightsFileLimits limits)
        {
            var options = new RepVggFeaturizingEstimator.Options { InputColumnName = "Pixels", WeightsPath = Write("train.safetensors"), WeightsOptions = new WeightsFileOptions { Limits = limits } };
            string message = Assert.Throws<InvalidDataException>(() => _context.Transforms.RepVggFeaturizer(options).Fit(Rows(1))).Message;
            Assert.Contains($"'{options.WeightsPath}'", message);
            Assert.Contains(", see WeightsFileLimits.Maximum", message);
            return message;
        }
    }

    [Fact]
    public void What_a_file_does_not_say_is_given_or_assumed_and_logged()
    {
        var architecture = _architecture with { Name = "RepVGG", BatchNormEpsilon = 0.5f, Stages = [.. _architecture.Stages.Select((stage, i) => stage with { Stride = i < 2 ? 1 : 2 })] };
        var state = RandomStates.Training(architecture, Classes);
        PthWriter.Write(state, PathOf("odd.pth"));
        var log = new List<(bool IsWarning, string Text)>();
        _context.Log += (_, line) => log.Add((line.Kind == Runtime.ChannelMessageKind.Warning, line.RawMessage));

        var options = new RepVggFeaturizingEstimator.Options
        {
            InputColumnName = "Pixels",
            WeightsPath = PathOf("odd.pth"),
            WeightsOptions = new WeightsFileOptions { BatchNormEpsilon = 0.5f, Strides = [1, 1, 2, 2, 2], Normalization = Normalization.ImageNet, ImageHeight = Size },
        };
        var data = Rows(3);
        using (var featurizer = _context.Transforms.RepVggFeaturizer(options).Fit(data))
        {
            Assert.DoesNotContain(log, line => line.IsWarning || line.Text.Contains("does not say", StringComparison.Ordinal));
            var network = DeployNetwork.FromTrainingForm(architecture, state, Size, Size, Normalization.ImageNet);
            float[] expected = ReferenceNetwork.Outputs(network.TakeFeatures(), RandomNetworks.Pixels(Fused(_own), 3), 3);
            Compare.Close(expected, [.. featurizer.Transform(data).GetColumn<float[]>("Features").SelectMany(features => features)], 1e-5);
        }
        options.WeightsOptions = null;
        using (_context.Transforms.RepVggFeaturizer(options).Fit(data))
        {
            Assert.Contains(log, line => !line.IsWarning && line.Text.Contains("odd.pth': batch norm epsilon 1e-05 (PyTorch's default): the file does not say it", StringComparison.Ordinal));
            Assert.Contains(log, line => !line.IsWarning && line.Text.Contains("odd.pth': strides 2, 1, 2, 2, 2", StringComparison.Ordinal));
            Assert.Contains(log, line => line.IsWarning && line.Text.Contains("odd.pth': normalisation mean 123.675", StringComparison.Ordinal));
        }
        Assert.Contains("WeightsOptions needs WeightsPath", Assert.Throws<ArgumentException>(
            () => _context.Transforms.RepVggFeaturizer(new RepVggFeaturizingEstimator.Options { Network = Fused(_own), WeightsOptions = new() })).Message);
    }

    [Fact]
    public void The_normalisation_of_the_options_wins_but_not_over_the_graph_of_an_onnx_file()
    {
        var data = Rows(2);
        string onnx = Write("deploy.onnx");
        string message = Assert.Throws<ArgumentException>(() => _context.Transforms.RepVggFeaturizer(new RepVggFeaturizingEstimator.Options { WeightsPath = onnx, Normalization = Normalization.ImageNet })).Message;
        Assert.Contains("already normalises its input, with mean 100, 110, 120", message);
        foreach (string kind in new[] { "train.pth", "train.safetensors" })
        {
            var options = new RepVggFeaturizingEstimator.Options { InputColumnName = "Pixels", WeightsPath = Write(kind), Normalization = Normalization.Identity(3) };
            using var featurizer = _context.Transforms.RepVggFeaturizer(options).Fit(data);
            Assert.True(featurizer.Network.Normalization.IsIdentity);
        }
    }

    [Fact]
    public void Images_of_any_size_become_features_and_the_saved_chain_agrees()
    {
        var random = new Random(3);
        var files = new List<FileRow>();
        for (int i = 0; i < 5; i++)
        {
            int width = 30 + 17 * i, height = 90 - 11 * i;
            byte[] pixels = new byte[width * height * 4];
            random.NextBytes(pixels);
            for (int p = 3; p < pixels.Length; p += 4)
                pixels[p] = 255;
            using var image = MLImage.CreateFromPixels(width, height, MLPixelFormat.Rgba32, pixels);
            image.Save(PathOf($"{i}.png"));
            files.Add(new FileRow { Path = $"{i}.png" });
        }
        var data = _context.Data.LoadFromEnumerable(files);
        var options = new RepVggFeaturizingEstimator.Options { OutputColumnName = "Image", WeightsPath = Write("train.pth"), ImageHeight = 36, ImageWidth = 44, Stage = "stage3" };
        var pipeline = _context.Transforms.LoadImages("Image", _folder, "Path").Append(_context.Transforms.RepVggFeaturizer(options));
        var model = pipeline.Fit(data);

        // The pixels come from ML.NET's own transformers; the features are computed by their definition.
        var stock = _context.Transforms.LoadImages("Image", _folder, "Path")
            .Append(_context.Transforms.ResizeImages("Small", 44, 36, "Image", ImageResizingEstimator.ResizingKind.IsoCrop))
            .Append(_context.Transforms.ExtractPixels("Pixels", "Small")).Fit(data).Transform(data);
        var network = DeployNetwork.FromTrainingForm(_architecture, _state, 36, 44, Normalization.ImageNet).TakeFeatures("stage3");
        float[] expected = ReferenceNetwork.Outputs(network, stock.GetColumn<float[]>("Pixels").SelectMany(pixels => pixels).ToArray(), 5);
        Compare.Close(expected, Features(model), 1e-5);

        using var stream = new MemoryStream();
        _context.Model.Save(model, data.Schema, stream);
        stream.Position = 0;
        var loaded = new MLContext().Model.Load(stream, out _);
        Compare.Close(expected, Features(loaded), 1e-4);
        Assert.Equal(["Image", "Path"], loaded.GetOutputSchema(data.Schema).Where(column => !column.IsHidden).Select(column => column.Name).Order());

        float[] Features(ITransformer transformer) => [.. transformer.Transform(data).GetColumn<float[]>("Image").SelectMany(features => features)];
    }

    [Fact]
    public void Images_take_their_size_from_the_file_and_come_out_of_an_engine()
    {
        var random = new Random(4);
        byte[] bytes = new byte[50 * 60 * 4];
        random.NextBytes(bytes);
        using var image = MLImage.CreateFromPixels(60, 50, MLPixelFormat.Rgba32, bytes);
        var data = _context.Data.LoadFromEnumerable(new[] { new Picture { Image = image } });
        using var featurizer = _context.Transforms.RepVggFeaturizer("Features", Write("train.safetensors"), "Image").Fit(data);
        Assert.Equal((Size, Size), (featurizer.Network.ImageHeight, featurizer.Network.ImageWidth));
        using var engine = _context.Model.CreatePredictionEngine<Picture, Features>(featurizer, new PredictionEngineOptions { OwnsTransformer = false });
        Assert.Equal(featurizer.Transform(data).GetColumn<float[]>("Features").Single(), engine.Predict(new Picture { Image = image }).Value);
    }

    private sealed class Features
    {
        [ColumnName("Features")]
        public float[] Value { get; set; } = [];
    }

    [Fact]
    public void The_exported_network_gives_the_features()
    {
        var data = Rows(2);
        using var featurizer = _context.Transforms.RepVggFeaturizer("Features", Write("train.pth"), "Pixels").Fit(data);
        featurizer.ExportToOnnx(PathOf("features.onnx"));
        var read = OnnxReader.Read(PathOf("features.onnx"));
        Assert.Equal(NetworkOutput.PooledFeatures, read.Output);
        float[] pixels = RandomNetworks.Pixels(Fused(_own), 2);
        Compare.Close(ReferenceNetwork.Outputs(featurizer.Network, pixels, 2), ReferenceNetwork.Outputs(read, pixels, 2), 1e-6);
    }

    [Fact]
    public void Bad_options_and_columns_are_refused_by_name()
    {
        string path = Write("train.pth");
        var data = Rows(1);
        Refused("exactly one", new());
        Refused("exactly one", new() { WeightsPath = path, Network = Fused(_own) });
        Refused("OutputColumnName is empty", new() { WeightsPath = path, OutputColumnName = " " });
        Refused("no stage 'stage7'", new() { WeightsPath = path, Stage = "stage7" });
        Refused("Pooling is 9", new() { WeightsPath = path, Pooling = (FeaturePooling)9 });
        Refused("too small", new() { WeightsPath = path, ImageHeight = 20, ImageWidth = 20 });
        Refused("1 means", new() { Network = Fused(_own), Normalization = Normalization.Identity(1) });
        Refused(path, new() { WeightsPath = path, Normalization = Normalization.Identity(1) });
        Assert.ThrowsAny<IOException>(() => _context.Transforms.RepVggFeaturizer("Features", PathOf("none.pth")));
        File.WriteAllText(PathOf("text.pth"), "This is no file of weights.");
        Assert.Contains("text.pth", Assert.Throws<InvalidDataException>(() => _context.Transforms.RepVggFeaturizer("Features", PathOf("text.pth"))).Message);

        var estimator = _context.Transforms.RepVggFeaturizer("Features", path, "Nothing");
        Assert.Contains("Could not find input column 'Nothing'", Assert.Throws<ArgumentException>(() => estimator.Fit(data)).Message);
        var texts = _context.Data.LoadFromEnumerable(new[] { new FileRow() });
        Assert.Contains("input column 'Path'", Assert.Throws<ArgumentException>(() => _context.Transforms.RepVggFeaturizer("Features", path, "Path").Fit(texts)).Message);
        using var featurizer = _context.Transforms.RepVggFeaturizer("Features", path, "Pixels").Fit(data);
        Assert.Contains("input column 'Pixels'", Assert.ThrowsAny<Exception>(() => featurizer.Transform(texts)).Message);

        var gray = RandomNetworks.Create(RandomStates.Reduce(RepVggVariants.S0), 28, 28, 3);
        var error = Assert.Throws<ArgumentException>(() => _context.Transforms.RepVggFeaturizer(new RepVggFeaturizingEstimator.Options { Network = gray, InputColumnName = "Pixels" }).Fit(data));
        Assert.Contains("3 channels", error.Message);
        PthWriter.Write(RandomStates.Training(gray.Architecture, 3), PathOf("gray.pth"));
        Refused("normalisation", new() { WeightsPath = PathOf("gray.pth") });

        void Refused(string expected, RepVggFeaturizingEstimator.Options options)
        {
            var error = Assert.Throws<ArgumentException>(() => _context.Transforms.RepVggFeaturizer(options));
            Assert.Contains(expected, error.Message);
        }
    }

    [Fact]
    public void A_bad_pixel_is_an_error_that_names_row_and_column()
    {
        var rows = Enumerable.Range(0, 3).Select(i => new Row { Pixels = [.. Enumerable.Repeat(i == 1 ? float.NaN : 5f, 3 * Size * Size)] }).ToList();
        var data = _context.Data.LoadFromEnumerable(rows);
        using var featurizer = _context.Transforms.RepVggFeaturizer("Features", Write("train.pth"), "Pixels").Fit(data);
        var error = Assert.ThrowsAny<Exception>(() => featurizer.Transform(data).GetColumn<float[]>("Features").ToList());
        Assert.Contains("Row 1, column 'Pixels'", Errors.AllMessages(error));
    }
}
