using Microsoft.ML.OnnxRuntime;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Quantizers;
using RepVgg.Runtime.Files;
using RepVgg.Testing;
using RepVgg.Tests.Quantizers;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Onnx;
using Xunit;

namespace RepVgg.Tests.Weights.Onnx;

/// <summary>Quantized networks as ONNX: what ONNX Runtime makes of them, and what is read back.</summary>
public class QuantizedOnnxTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Golden_network_gives_the_golden_logits_in_ONNX_Runtime(bool quantizesClassifier)
    {
        var network = GoldenQuantization.Network("", quantizesClassifier);
        var (pixels, count) = GoldenQuantization.Images("input");
        float[] expected = GoldenFiles.Floats($"int8/logits-{(quantizesClassifier ? "int8" : "float")}-head.npy").Read();
        var (logits, operations) = Run(network, pixels, count);
        Compare.Close(expected, logits, 1e-6);
        Assert.Equal(5, operations.Count(operation => operation == "QLinearConv"));
        Assert.Equal(quantizesClassifier ? 1 : 0, operations.Count(operation => operation == "QGemm"));
        Assert.DoesNotContain("Conv", operations);
        Assert.DoesNotContain("FusedConv", operations);
    }

    [Theory]
    [InlineData("RepVGG-S1", "", 0.02)]
    [InlineData("RepVGG-A0", "", 0.02)]
    [InlineData("RepVGG-B1g2", "", 0.02)]
    [InlineData("RepVGG-A0", "stage0 stage2.1 stage2.2", 0.02)]
    [InlineData("RepVGG-D2se", "", 0.05)]
    [InlineData("RepVGGplus-L2pse", "", 0.05)]
    public void ONNX_Runtime_computes_in_integers_and_agrees_with_the_engine(string name, string floatBlocks, double tolerance)
    {
        const int Count = 4;
        var variant = RandomStates.Reduce(RepVggVariants.Find(name));
        var network = RandomNetworks.Create(variant, 64, 48, 7);
        float[] pixels = RandomNetworks.Pixels(network, Count);
        string[] left = floatBlocks.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        var quantized = Quantization.Calibrate(network, pixels.Chunk(pixels.Length / Count).ToArray(), new QuantizationOptions
        {
            FloatBlocks = [.. left.Where(block => network.Blocks.Any(b => b.Shape.Name == block))],
            QuantizeClassifier = true,
        });
        using var engine = new InferenceEngine(quantized);
        float[] expected = new float[Count * 7];
        engine.Run(pixels, Count, expected);
        var (logits, operations) = Run(quantized, pixels, Count);
        Compare.Close(expected, logits, tolerance);
        AssertReadBack(quantized, pixels, expected);
        Assert.Equal(quantized.IntegerBlocks, operations.Count(operation => operation == "QLinearConv"));
        Assert.Contains("QGemm", operations);
    }

    /// <summary>Kinds of files that other programs write.</summary>
    public static TheoryData<string> Kinds() => ["", "no-relu", "per-tensor", "unsigned-weights", "signed-maps", "float-bias", "other-bias-scale", "float-second-block", "quantized-flat-features", "constants-in-nodes", "rounded-in-graph", "scaled-convolution"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Files_of_other_programs_give_what_ONNX_Runtime_gives(string kind)
    {
        byte[] file = OtherQuantizedFile.Create(kind);
        var network = OnnxReader.ReadQuantized(new MemoryStream(file));
        Assert.Equal(kind is "float-second-block" or "scaled-convolution" ? 2 : 3, network.IntegerBlocks);
        Assert.NotNull(network.QuantizedClassifier);
        var random = new Random(4);
        const int Count = 3;
        float[] pixels = [.. Enumerable.Range(0, Count * 3 * 12 * 14).Select(_ => (float)random.Next(256))];
        using var options = new SessionOptions { GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL };
        using var session = new InferenceSession(file, options);
        using var input = OrtValue.CreateTensorValueFromMemory(pixels, [Count, 3, 12, 14]);
        using var run = new RunOptions();
        using var results = session.Run(run, new Dictionary<string, OrtValue> { ["input"] = input }, ["logits"]);
        using var engine = new InferenceEngine(network);
        float[] logits = new float[Count * 4];
        engine.Run(pixels, Count, logits);
        Compare.Close(results[0].GetTensorDataAsSpan<float>(), logits, 1e-5, kind);
    }

    [Theory]
    [InlineData("asymmetric-weights", "minus its zero point is")]
    [InlineData("asymmetric-map", "zero point 7")]
    [InlineData("input-channel-scales", "scales along axis 1")]
    [InlineData("words", "type number 4")]
    [InlineData("negative-scale", "scale -0.01")]
    [InlineData("quantized-inside", "'b_conv' is quantized, which must stay in floating point")]
    public void Files_with_integers_of_other_kinds_are_refused_by_name(string kind, string message) => Assert.Contains(
        message, Assert.Throws<InvalidDataException>(() => OnnxReader.ReadQuantized(new MemoryStream(OtherQuantizedFile.Create(kind)))).Message, StringComparison.Ordinal);

    [Fact]
    public void That_the_logits_are_quantized_is_left_out_and_said()
    {
        using var folder = new TemporaryFolder();
        string path = folder.Write("quantized.onnx", OtherQuantizedFile.Create("quantized-logits")), plain = folder.Write("plain.onnx", OtherQuantizedFile.Create(""));
        using var engine = InferenceEngine.Open(path);
        using var expected = InferenceEngine.Open(plain);
        Assert.Contains("the quantization of the output 'logits' is left out", Assert.Single(engine.Assumptions, assumption => assumption.Kind == WeightsAssumptionKind.Output).ToString(), StringComparison.Ordinal);
        float[] pixels = new float[engine.InputLength], logits = new float[4], others = new float[4];
        Array.Fill(pixels, 100);
        engine.Run(pixels, 1, logits);
        expected.Run(pixels, 1, others);
        Assert.Equal(others, logits);
    }

    [Fact]
    public void Quantized_and_other_files_are_not_mistaken_for_each_other()
    {
        using var folder = new TemporaryFolder();
        string quantized = folder.File("quantized.onnx"), plain = folder.File("plain.onnx");
        var network = GoldenQuantization.Network("", quantizesClassifier: false);
        OnnxWriter.Write(network, quantized);
        OnnxWriter.Write(GoldenQuantization.FloatNetwork(), plain);
        Assert.Contains("it is quantized", Assert.Throws<InvalidDataException>(() => OnnxReader.Read(quantized)).Message, StringComparison.Ordinal);
        Assert.Contains("it is quantized", Assert.Throws<InvalidDataException>(() => WeightsFile.Read(quantized)).Message, StringComparison.Ordinal);
        Assert.Contains("it is not quantized", Assert.Throws<InvalidDataException>(() => OnnxReader.ReadQuantized(plain)).Message, StringComparison.Ordinal);
        Assert.Equal(network.Classes, OnnxReader.ReadDescription(quantized)!.Classes);
        byte[] content = File.ReadAllBytes(quantized);
        Assert.ThrowsAny<InvalidDataException>(() => OnnxReader.ReadQuantized(new MemoryStream(content[..(content.Length / 2)])));
    }

    /// <summary>Weights are bytes while a file is read, too: no array of wider integers or of floats is made of them.</summary>
    [Fact]
    public void Reading_a_file_allocates_little_more_than_the_weights()
    {
        var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (16, 1, 2), (256, 2, 2), (512, 1, 2));
        var network = RandomNetworks.Create(architecture, 32, 32, 10);
        var quantized = Quantization.Calibrate(network, [.. RandomNetworks.Pixels(network, 2).Chunk(3 * 32 * 32)]);
        long weights = quantized.Blocks.Sum(block => (long)block.Convolution!.Weights.Length);
        Assert.InRange(weights, 1_500_000, 2_500_000);
        using var folder = new TemporaryFolder();
        OnnxWriter.Write(quantized, folder.File("network.onnx"));
        OnnxReader.ReadQuantized(folder.File("network.onnx"));
        Assert.InRange(Allocations.Of(1, () => OnnxReader.ReadQuantized(folder.File("network.onnx"))), weights, weights + weights / 4);
    }

    [Fact]
    public void Options_that_do_not_suit_are_refused()
    {
        var network = GoldenQuantization.Network("", quantizesClassifier: true);
        Refuses("operator set 13", new OnnxExportOptions { OpsetVersion = 12 });
        Refuses("8 bits", new OnnxExportOptions { Precision = OnnxPrecision.Half });
        Refuses("activation maps", new OnnxExportOptions { ActivationMap = true });

        void Refuses(string message, OnnxExportOptions options) =>
            Assert.Contains(message, Assert.Throws<ArgumentException>(() => OnnxWriter.Write(network, new MemoryStream(), options)).Message, StringComparison.Ordinal);
    }

    /// <summary>Writes the network, reads it, and opens it in an engine.</summary>
    private static void AssertReadBack(QuantizedNetwork network, float[] pixels, float[] logits)
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("quantized.onnx");
        OnnxWriter.Write(network, path);
        var read = OnnxReader.ReadQuantized(path);
        Assert.Equal((network.Input, network.Pooled, network.Output, network.ImageHeight, network.ImageWidth, network.Details), (read.Input, read.Pooled, read.Output, read.ImageHeight, read.ImageWidth, read.Details));
        AssertSame(network.QuantizedClassifier, read.QuantizedClassifier);
        foreach (var (block, other) in network.Blocks.Zip(read.Blocks))
        {
            Assert.Equal((block.Shape.Name, block.BeforeSqueeze, block.Output), (other.Shape.Name, other.BeforeSqueeze, other.Output));
            AssertSame(block.Convolution, other.Convolution);
            Assert.Equal(block.Float?.Kernel.AsEnumerable(), other.Float?.Kernel.AsEnumerable());
        }
        using var engine = InferenceEngine.Open(path);
        float[] actual = new float[logits.Length];
        engine.Run(pixels, logits.Length / 7, actual);
        Assert.Equal(logits, actual);

        static void AssertSame(QuantizedWeights? expected, QuantizedWeights? actual)
        {
            Assert.Equal(expected?.Weights.AsEnumerable(), actual?.Weights.AsEnumerable());
            Assert.Equal(expected?.Scales.AsEnumerable(), actual?.Scales.AsEnumerable());
            Assert.Equal(expected?.Biases.AsEnumerable(), actual?.Biases.AsEnumerable());
        }
    }

    /// <summary>Runs the network in ONNX Runtime.</summary>
    /// <returns>The logits, and the operations of the graph that ONNX Runtime made.</returns>
    private static (float[] Logits, List<string> Operations) Run(QuantizedNetwork network, float[] pixels, int count)
    {
        using var folder = new TemporaryFolder();
        string optimized = Path.Combine(folder.Path, "optimized.onnx");
        using var file = new MemoryStream();
        OnnxWriter.Write(network, file);
        using var options = new SessionOptions { OptimizedModelFilePath = optimized, GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL };
        using var session = new InferenceSession(file.ToArray(), options);
        using var input = OrtValue.CreateTensorValueFromMemory(pixels, [count, network.Architecture.InputChannels, network.ImageHeight, network.ImageWidth]);
        using var run = new RunOptions();
        using var results = session.Run(run, new Dictionary<string, OrtValue> { ["input"] = input }, ["logits"]);
        var operations = ByteSource.Use(optimized, source => OnnxParser.Parse(source).Nodes.ConvertAll(node => node.Operation));
        return (results[0].GetTensorDataAsSpan<float>().ToArray(), operations);
    }
}
