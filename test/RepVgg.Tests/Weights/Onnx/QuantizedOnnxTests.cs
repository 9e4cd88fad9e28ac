using Microsoft.ML.OnnxRuntime;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Quantizers;
using RepVgg.Runtime.Files;
using RepVgg.Testing;
using RepVgg.Tests.Quantizers;
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
        Assert.Equal(quantized.IntegerBlocks, operations.Count(operation => operation == "QLinearConv"));
        Assert.Contains("QGemm", operations);
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
