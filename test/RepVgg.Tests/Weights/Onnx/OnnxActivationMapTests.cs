using Microsoft.ML.OnnxRuntime;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Onnx;
using Xunit;

namespace RepVgg.Tests.Weights.Onnx;

/// <summary>Files with class activation maps as a second output, in ONNX Runtime and in this library's reader.</summary>
public class OnnxActivationMapTests
{
    private const int Count = 2;
    private const int Classes = 5;

    // A value of a map is a sum of positive and negative terms, so its relative error is larger than that of a mean.
    private const double MapTolerance = 3e-5;

    private static DeployNetwork Network(string variant)
    {
        var architecture = RandomStates.Reduce(RepVggVariants.Find(variant));
        return RandomNetworks.Create(architecture, 2 * architecture.TotalStride + 5, architecture.TotalStride + 4, Classes);
    }

    private static byte[] Export(DeployNetwork network, OnnxExportOptions? options = null)
    {
        using var file = new MemoryStream();
        OnnxWriter.Write(network, file, options);
        return file.ToArray();
    }

    private static (float[] Logits, float[] Map, long[] MapShape) Run(byte[] file, DeployNetwork network, float[] pixels, int count, string logits = "logits")
    {
        using var session = new InferenceSession(file);
        using var input = OrtValue.CreateTensorValueFromMemory(pixels, [count, network.Architecture.InputChannels, network.ImageHeight, network.ImageWidth]);
        using var run = new RunOptions();
        using var results = session.Run(run, new Dictionary<string, OrtValue> { ["input"] = input }, [logits, "activation_map"]);
        return ([.. results[0].GetTensorDataAsSpan<float>()], [.. results[1].GetTensorDataAsSpan<float>()], results[1].GetTensorTypeAndShape().Shape);
    }

    /// <summary>The maps of all classes by their definition, in double precision, [count, classes, height, width].</summary>
    private static float[] Maps(DeployNetwork network, float[] pixels, int count)
    {
        var extractor = network.TakeFeatures(pooled: false);
        float[] features = ReferenceNetwork.Outputs(extractor, pixels, count);
        int channels = extractor.OutputShape[0], cells = extractor.OutputShape[1] * extractor.OutputShape[2];
        var maps = new float[count * network.Classes * cells];
        for (int i = 0; i < maps.Length; i++)
        {
            int image = i / cells / network.Classes, label = i / cells % network.Classes;
            maps[i] = (float)Enumerable.Range(0, channels).Sum(k => (double)network.Classifier.Weight[label * channels + k] * features[(image * channels + k) * cells + i % cells]);
        }
        return maps;
    }

    [Theory]
    [InlineData("RepVGG-A0")]
    [InlineData("RepVGG-B1g2")]
    [InlineData("RepVGG-D2se")]
    [InlineData("RepVGGplus-L2pse")]
    [InlineData("RepVGG-S1")]
    public void ONNX_Runtime_computes_the_maps_and_the_same_logits(string variant)
    {
        var network = Network(variant);
        float[] pixels = RandomNetworks.Pixels(network, Count);
        var (logits, map, shape) = Run(Export(network, new OnnxExportOptions { ActivationMap = true }), network, pixels, Count);
        var sides = network.TakeFeatures(pooled: false).OutputShape;
        Assert.Equal([Count, Classes, sides[1], sides[2]], shape);
        Compare.Close(Maps(network, pixels, Count), map, MapTolerance, "map");
        Compare.Close(ReferenceNetwork.Logits(network, pixels, Count), logits, 1e-5, "logits");

        int cells = sides[1] * sides[2];
        float[] sums = [.. map.Chunk(cells).Select((values, i) => (float)(values.Average(value => (double)value) + network.Classifier.Bias[i % Classes]))];
        Compare.Close(logits, sums, 1e-5, "mean of the map plus bias");
    }

    [Theory]
    [InlineData(OnnxPrecision.Single, false, 9)]
    [InlineData(OnnxPrecision.Single, true, 21)]
    [InlineData(OnnxPrecision.Half, false, 13)]
    [InlineData(OnnxPrecision.Half, true, 17)]
    public void The_map_has_the_form_of_the_other_output(OnnxPrecision precision, bool omitBatch, int opset)
    {
        var network = Network("RepVGG-D2se");
        float[] pixels = RandomNetworks.Pixels(network, 1);
        var options = new OnnxExportOptions { ActivationMap = true, Precision = precision, BatchSize = 1, OmitOutputBatch = omitBatch, Softmax = true, OpsetVersion = opset, OutputName = "score" };
        var (_, map, shape) = Run(Export(network, options), network, pixels, 1, "score");
        var sides = network.TakeFeatures(pooled: false).OutputShape;
        long[] expected = [Classes, sides[1], sides[2]];
        Assert.Equal(omitBatch ? expected : [1, .. expected], shape);
        Compare.Close(Maps(network, pixels, 1), map, precision == OnnxPrecision.Half ? 5e-3 : MapTolerance, "map");
    }

    [Theory]
    [InlineData("RepVGG-A0", OnnxPrecision.Single)]
    [InlineData("RepVGG-D2se", OnnxPrecision.Single)]
    [InlineData("RepVGG-D2se", OnnxPrecision.Half)]
    public void This_library_reads_the_network(string variant, OnnxPrecision precision)
    {
        var network = Network(variant);
        using var folder = new TemporaryFolder();
        string path = folder.File("network.onnx");
        OnnxWriter.Write(network, path, new OnnxExportOptions { ActivationMap = true, Precision = precision });
        var read = OnnxReader.Read(path);
        if (precision == OnnxPrecision.Single)
            OnnxRoundTripTests.AssertSame(network, read);
        Assert.Equal(Export(read), Export(OnnxRoundTripTests.RoundTrip(network, new OnnxExportOptions { Precision = precision })));

        using var engine = InferenceEngine.Open(path);
        Assert.Equal((NetworkOutput.Logits, Classes), (engine.Output, engine.Classes));
        Assert.Equal([WeightsAssumptionKind.Output], engine.Assumptions.Select(assumption => assumption.Kind));
        float[] pixels = RandomNetworks.Pixels(network, 1), logits = new float[Classes];
        engine.Run(pixels, 1, logits);
        Compare.Close(ReferenceNetwork.Logits(network, pixels, 1), logits, precision == OnnxPrecision.Half ? 5e-3 : 1e-5);
    }

    [Fact]
    public void Without_the_option_a_file_has_one_output_and_is_smaller_by_the_operations_of_the_map_only()
    {
        var network = Network("RepVGG-A0");
        byte[] plain = Export(network), mapped = Export(network, new OnnxExportOptions { ActivationMap = true });
        using var session = new InferenceSession(plain);
        Assert.Equal(["logits"], session.OutputNames);
        // The weights of the classifier are not stored twice.
        Assert.InRange(mapped.Length - plain.Length, 1, 600);
    }

    [Fact]
    public void What_cannot_be_is_refused()
    {
        var network = Network("RepVGG-S1");
        var options = new OnnxExportOptions { ActivationMap = true };
        Assert.Contains("require a classifier", Assert.Throws<ArgumentException>(() => Export(network.TakeFeatures(), options)).Message);
        Assert.Contains("'activation_map'", Assert.Throws<ArgumentException>(() => Export(network, options with { OutputName = "activation_map" })).Message);
        Assert.Contains("'activation_map'", Assert.Throws<ArgumentException>(() => Export(network, options with { InputName = "activation_map" })).Message);
    }
}
