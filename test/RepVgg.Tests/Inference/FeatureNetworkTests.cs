using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Tests.Weights.Onnx;
using RepVgg.Weights.Onnx;
using RepVgg.Runtime.Simd;
using Xunit;

namespace RepVgg.Tests.Inference;

/// <summary>Networks that give features, against the definition: in the engine and through ONNX.</summary>
public class FeatureNetworkTests
{
    private static readonly VectorWidth[] _widths = [.. Enum.GetValues<VectorWidth>().Where(width => width <= VectorWidths.Widest || width == VectorWidth.Bits128)];

    public static TheoryData<string, string?, bool> Cases()
    {
        var cases = new TheoryData<string, string?, bool>();
        foreach (string name in new[] { "RepVGG-S1", "RepVGG-A0", "RepVGG-B1g2", "RepVGG-D2se", "RepVGGplus-L2pse" })
        {
            foreach (bool pooled in new[] { true, false })
            {
                cases.Add(name, null, pooled);
                cases.Add(name, "stage1", pooled);
                cases.Add(name, name == "RepVGGplus-L2pse" ? "stage3_first" : "stage2", pooled);
            }
        }
        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Features_agree_with_the_definition(string name, string? stage, bool pooled)
    {
        const int Count = 3;
        // A width that is no multiple of any vector.
        var variant = RandomStates.Reduce(RepVggVariants.Find(name));
        variant = variant with { Stages = [.. variant.Stages.Select(s => s with { Width = s.Width + 4 })] };
        var whole = RandomNetworks.Create(variant, variant.TotalStride + 9, variant.TotalStride + 4, 7);
        var network = whole.TakeFeatures(stage, pooled);
        float[] pixels = RandomNetworks.Pixels(whole, Count);
        float[] expected = ReferenceNetwork.Outputs(network, pixels, Count);
        Assert.Equal(expected.Length, Count * network.OutputLength);
        foreach (var width in _widths)
        {
            using var engine = new InferenceEngine(network, threads: 2, width);
            var actual = new float[Count * engine.OutputLength];
            engine.Run(pixels, Count, actual);
            Compare.Close(expected, actual, 1e-5, $"features at {width}");
        }

        var read = OnnxRoundTripTests.RoundTrip(network);
        AssertSame(network, read);
        OnnxRuntimeCheck.Agrees(network, Count, pixels, expected, 1e-4);
    }

    [Theory]
    [InlineData(NetworkOutput.Logits, OnnxPrecision.Single)]
    [InlineData(NetworkOutput.PooledFeatures, OnnxPrecision.Single)]
    [InlineData(NetworkOutput.PooledFeatures, OnnxPrecision.Half)]
    [InlineData(NetworkOutput.FeatureMap, OnnxPrecision.Single)]
    [InlineData(NetworkOutput.FeatureMap, OnnxPrecision.Half)]
    public void An_output_without_batch_has_the_dimensions_of_one_image(NetworkOutput output, OnnxPrecision precision)
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 2, SqueezeExcitation.AfterRelu, (16, 1, 2), (24, 2, 2)), 21, 18, 5);
        if (output != NetworkOutput.Logits)
            network = network.TakeFeatures(pooled: output == NetworkOutput.PooledFeatures);
        var options = new OnnxExportOptions { BatchSize = 1, OmitOutputBatch = true, Precision = precision };
        using var stream = new MemoryStream();
        OnnxWriter.Write(network, stream, options);
        stream.Position = 0;
        Assert.Equal(network.OutputShape.Select(size => (long?)size), OnnxParser.Parse(stream).Outputs.Single().Shape);
        stream.Position = 0;
        var read = OnnxReader.Read(stream);
        Assert.Equal(output, read.Output);
        float[] pixels = RandomNetworks.Pixels(network, 1);
        float[] expected = ReferenceNetwork.Outputs(network, pixels, 1);
        double tolerance = precision == OnnxPrecision.Half ? 2e-3 : 1e-6;
        Compare.Close(expected, ReferenceNetwork.Outputs(read, pixels, 1), tolerance);
        OnnxRuntimeCheck.Agrees(network, 1, pixels, expected, Math.Max(tolerance, 1e-4), options);
    }

    [Fact]
    public void What_cannot_be_is_refused()
    {
        var network = RandomNetworks.Create(RandomStates.Reduce(RepVggVariants.S1), 12, 12, 3);
        foreach (string stage in new[] { "stage0", "stage9", "Stage1" })
        {
            var error = Assert.Throws<ArgumentException>(() => network.TakeFeatures(stage));
            Assert.Contains($"no stage '{stage}'", error.Message);
            Assert.Contains("stage1, stage2, stage3", error.Message);
        }
        var features = network.TakeFeatures();
        Assert.Contains("no classifier", Assert.Throws<InvalidOperationException>(() => network.TakeFeatures(pooled: false).ExportState()).Message);
        Assert.Contains("softmax", Assert.Throws<ArgumentException>(() => OnnxWriter.Write(features, Stream.Null, new OnnxExportOptions { Softmax = true })).Message);
        Assert.Contains("batch size of 1", Assert.Throws<ArgumentException>(() => OnnxWriter.Write(features, Stream.Null, new OnnxExportOptions { OmitOutputBatch = true })).Message);
        using var engine = new InferenceEngine(features);
        Assert.Contains("features", Assert.Throws<ArgumentException>(() => engine.Run(new float[144], 1, new float[3])).Message);
    }

    private static void AssertSame(DeployNetwork expected, DeployNetwork actual)
    {
        Assert.Equal(expected.Architecture, actual.Architecture);
        Assert.Equal(expected.Output, actual.Output);
        Assert.Equal(expected.OutputShape.ToArray(), actual.OutputShape.ToArray());
        Assert.Equal(expected.Blocks.Length, actual.Blocks.Length);
        foreach (var (left, right) in expected.Blocks.Zip(actual.Blocks))
            Assert.True(left.Kernel.SequenceEqual(right.Kernel) && left.Bias.SequenceEqual(right.Bias), left.Shape.Name);
    }
}
