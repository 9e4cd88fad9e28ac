using Microsoft.ML.Data;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Onnx;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Network;

/// <summary>Weights of Keras in ML.NET's pipelines; the expected logits are TensorFlow's.</summary>
public sealed class KerasTests : IDisposable
{
    private readonly MLContext _context = new(seed: 1);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private sealed class Row
    {
        public float[] Pixels { get; set; } = [];

        public string Label { get; set; } = "";
    }

    private sealed class Output
    {
        public float[] Logits { get; set; } = [];

        public float[] Features { get; set; } = [];
    }

    public static TheoryData<string, string, int, int> Cases { get; } = new()
    {
        { "plain.h5", "plain", 32, 32 },
        { "plain.h5", "plain", 33, 33 },
        { "plain.h5", "plain", 30, 33 },
        { "plain-tree.h5", "plain", 32, 32 },
        { "plain.weights.h5", "plain", 32, 32 },
        { "whole.h5", "whole", 32, 32 },
        { "se.h5", "se", 32, 32 },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void An_exported_network_is_scored_by_ML_NET_s_own_transformer(string file, string network, int height, int width)
    {
        string path = _folder.File("network.onnx");
        OnnxWriter.Write(WeightsFile.ReadDeployNetwork(Golden(file), Options(file, height, width)), path, new OnnxExportOptions { InputName = "Pixels", OutputName = "Logits" });
        var data = Data(network, height, width);

        var scored = _context.Transforms.ApplyOnnxModel("Logits", "Pixels", path).Fit(data).Transform(data);

        Compare.Close(Expected(network, height, width), [.. _context.Data.CreateEnumerable<Output>(scored, false, ignoreMissingColumns: true).SelectMany(row => row.Logits)], 1e-5);
    }

    [Theory]
    [InlineData(32, 32)]
    [InlineData(33, 33)]
    public void A_network_that_is_trained_further_starts_from_what_TensorFlow_computes(int height, int width)
    {
        var trainer = _context.MulticlassClassification.Trainers.RepVgg(new RepVggTrainer.Options
        {
            FeatureColumnName = "Pixels",
            PretrainedWeightsPath = Golden("plain.h5"),
            ImageHeight = height,
            ImageWidth = width,
            Normalization = Normalization.Identity(3),
            // Nothing changes: the stages are frozen, and the classifier has a learning rate that no weight notices.
            FrozenStages = 5,
            LearningRate = 1e-30f,
            Epochs = 1,
            BatchSize = 8,
            ValidationSetFraction = 0,
            Device = TrainingDevice.Cpu,
        });
        float[] pixels = Pixels("plain", height, width);
        var data = Typed(Enumerable.Range(0, 21).Select(i => new Row { Pixels = pixels[..(3 * height * width)], Label = $"{i % 7}" }), height, width);

        using var model = (RepVggTransformer)_context.Transforms.Conversion.MapValueToKey("Label").Append(trainer).Fit(data).LastTransformer;

        Assert.All(model.Architecture.Stages, stage => Assert.Equal(height % 2, stage.PaddingTop));
        Assert.Equal(1e-3f, model.Architecture.BatchNormEpsilon);
        float[] logits = new float[2 * 7];
        using (var engine = new InferenceEngine(model.Network))
            engine.Run(pixels, 2, logits);
        Compare.Close(Expected("plain", height, width), logits, 1e-5);
    }

    [Fact]
    public void The_featurizer_reads_weights_of_Keras()
    {
        const int Side = 32;
        var data = Data("plain", Side, Side);
        var features = _context.Transforms.RepVggFeaturizer(new RepVggFeaturizingEstimator.Options
        {
            OutputColumnName = "Features",
            InputColumnName = "Pixels",
            WeightsPath = Golden("plain.h5"),
            ImageHeight = Side,
            ImageWidth = Side,
            Normalization = Normalization.Identity(3),
        }).Fit(data).Transform(data);

        var network = WeightsFile.ReadDeployNetwork(Golden("plain.h5"), Options("plain.h5", Side, Side));
        // The logits are those of the features: bias + weight * feature.
        float[] logits = [.. _context.Data.CreateEnumerable<Output>(features, false, ignoreMissingColumns: true).SelectMany(row => Enumerable.Range(0, 7).Select(c =>
            network.Classifier.Bias[c] + Enumerable.Range(0, 32).Sum(i => network.Classifier.Weight[c * 32 + i] * row.Features[i])))];
        Compare.Close(Expected("plain", Side, Side), logits, 1e-5);
    }

    private static string Golden(string name) => GoldenFiles.PathOf(Path.Combine("keras", name));

    private static WeightsFileOptions Options(string file, int height, int width) => new()
    {
        ImageHeight = height,
        ImageWidth = width,
        Normalization = Normalization.Identity(3),
        Depths = file.EndsWith(".weights.h5", StringComparison.Ordinal) ? [1, 1, 2, 3, 1] : null,
    };

    private static float[] Pixels(string network, int height, int width) => GoldenFiles.Floats(Path.Combine("keras", $"{network}-{height}x{width}-input.npy")).Values;

    private static float[] Expected(string network, int height, int width) => GoldenFiles.Floats(Path.Combine("keras", $"{network}-{height}x{width}-logits.npy")).Values;

    private IDataView Data(string network, int height, int width) => Typed(Pixels(network, height, width).Chunk(3 * height * width).Select(image => new Row { Pixels = image }), height, width);

    private IDataView Typed(IEnumerable<Row> rows, int height, int width)
    {
        var schema = SchemaDefinition.Create(typeof(Row));
        schema[nameof(Row.Pixels)].ColumnType = new VectorDataViewType(NumberDataViewType.Single, 3, height, width);
        return _context.Data.LoadFromEnumerable(rows, schema);
    }
}
