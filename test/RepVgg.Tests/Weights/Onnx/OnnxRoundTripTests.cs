using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights.Onnx;
using Xunit;

namespace RepVgg.Tests.Weights.Onnx;

public class OnnxRoundTripTests
{
    private const double RuntimeTolerance = 1e-4;

    public static TheoryData<string> Golden => GoldenNetworks.Names;

    public static TheoryData<string> Variants => [.. RepVggVariants.All.Select(variant => variant.Name)];

    [Theory]
    [MemberData(nameof(Golden))]
    public void Golden_networks_come_back_bit_for_bit(string name)
    {
        var input = GoldenNetworks.Input(name);
        var network = DeployNetwork.FromTrainingForm(GoldenNetworks.All[name], GoldenNetworks.TrainingState(name), input.Shape[2], input.Shape[3], Normalization.Identity(3));
        AssertSame(network, RoundTrip(network));
        OnnxRuntimeCheck.Agrees(network, 2, input.Values, GoldenFiles.Floats($"{name}-logits-deploy.npy").Values, RuntimeTolerance);
    }

    [Theory]
    [MemberData(nameof(Variants))]
    public void Reduced_variants_come_back_bit_for_bit(string name)
    {
        var architecture = RandomStates.Reduce(RepVggVariants.Find(name));
        int size = architecture.TotalStride + 3;
        var network = RandomNetworks.Create(architecture, size, size + 2, 6);
        AssertSame(network, RoundTrip(network));
        float[] pixels = RandomNetworks.Pixels(network, 3);
        OnnxRuntimeCheck.Agrees(network, 3, pixels, ReferenceNetwork.Logits(network, pixels, 3), RuntimeTolerance);
    }

    [Theory]
    [InlineData(64, 64, 8, null)]
    [InlineData(57, 66, 16, 2)]
    public void Dilated_networks_come_back_bit_for_bit(int height, int width, int outputStride, int? dilatedBlocks)
    {
        var architecture = RandomStates.Reduce(RepVggVariants.A0) with { OutputStride = outputStride, DilatedBlocks = dilatedBlocks };
        var network = RandomNetworks.Create(architecture, height, width, 6);
        Assert.Contains(network.Blocks, block => block.Shape.Dilation == 32 / outputStride);
        AssertSame(network, RoundTrip(network));
        float[] pixels = RandomNetworks.Pixels(network, 2);
        OnnxRuntimeCheck.Agrees(network, 2, pixels, ReferenceNetwork.Logits(network, pixels, 2), RuntimeTolerance);
    }

    [Fact]
    public void A0_comes_back_bit_for_bit_at_full_width()
    {
        var network = RandomNetworks.Create(RepVggVariants.A0, 64, 64, 100);
        AssertSame(network, RoundTrip(network));
        float[] pixels = RandomNetworks.Pixels(network, 2);
        var logits = new float[200];
        using (var engine = new InferenceEngine(network))
            engine.Run(pixels, 2, logits);
        OnnxRuntimeCheck.Agrees(network, 2, pixels, logits, RuntimeTolerance);
    }

    [Theory]
    [InlineData(SqueezeExcitation.None, false)]
    [InlineData(SqueezeExcitation.BeforeRelu, true)]
    [InlineData(SqueezeExcitation.AfterRelu, false)]
    public void Half_precision_is_close(SqueezeExcitation squeezeExcitation, bool softmax)
    {
        const double HalfTolerance = 2e-3;
        var architecture = RandomNetworks.Architecture(3, 2, squeezeExcitation, (16, 1, 1), (32, 2, 2), (32, 2, 2));
        var network = RandomNetworks.Create(architecture, 20, 18, 5);
        var options = new OnnxExportOptions { Precision = OnnxPrecision.Half, Softmax = softmax, OutputName = "y" };
        float[] pixels = RandomNetworks.Pixels(network, 2);
        float[] expected = ReferenceNetwork.Logits(network, pixels, 2);
        Compare.Close(expected, ReferenceNetwork.Logits(RoundTrip(network, options), pixels, 2), HalfTolerance);
        OnnxRuntimeCheck.Agrees(network, 2, pixels, softmax ? Softmax(expected, 2) : expected, HalfTolerance, options);
    }

    [Theory]
    [InlineData(9)]
    [InlineData(11)]
    [InlineData(13)]
    [InlineData(17)]
    [InlineData(18)]
    [InlineData(21)]
    public void Options_show_in_the_file(int opset)
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(1, 1, SqueezeExcitation.AfterRelu, (16, 1, 1), (16, 2, 2)), 9, 8, 4);
        var options = new OnnxExportOptions { InputName = "Features", OutputName = "Score", BatchSize = 2, Softmax = true, OpsetVersion = opset, ClassLabels = ["a", "b", "ü", "\"d\""] };
        using var stream = new MemoryStream();
        OnnxWriter.Write(network, stream, options);
        stream.Position = 0;
        AssertSame(network, OnnxReader.Read(stream));
        stream.Position = 0;
        var description = OnnxReader.ReadDescription(stream);
        Assert.Equal(network.Architecture, description!.Architecture);
        Assert.Equal(options.ClassLabels, description.ClassLabels);
        Assert.Equal((4, 9, 8), (description.Classes, description.ImageHeight, description.ImageWidth));
        Assert.Equal(network.Normalization.Mean.ToArray(), description.Normalization.Mean.ToArray());

        stream.Position = 0;
        var model = OnnxParser.Parse(stream);
        Assert.Equal("Features", model.Inputs.Single().Name);
        Assert.Equal([2, 1, 9, 8], model.Inputs.Single().Shape);
        Assert.Equal("Score", model.Outputs.Single().Name);
        Assert.Equal([2, 4], model.Outputs.Single().Shape);
        float[] pixels = RandomNetworks.Pixels(network, 2);
        OnnxRuntimeCheck.Agrees(network, 2, pixels, Softmax(ReferenceNetwork.Logits(network, pixels, 2), 2), RuntimeTolerance, options);
    }

    [Fact]
    public void Normalisation_comes_before_the_padding()
    {
        // A border that is padded before the normalisation would show as -mean * scale in the first map.
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 1), (8, 1, 1)), 3, 3, 4);
        float[] pixels = RandomNetworks.Pixels(network, 2);
        OnnxRuntimeCheck.Agrees(network, 2, pixels, ReferenceNetwork.Logits(network, pixels, 2), RuntimeTolerance);
        var read = RoundTrip(network);
        Assert.Equal(network.Normalization.Mean.ToArray(), read.Normalization.Mean.ToArray());
        Assert.Equal(network.Normalization.Scale.ToArray(), read.Normalization.Scale.ToArray());
    }

    [Fact]
    public void A_file_replaces_its_target_and_leaves_nothing_beside_it()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(1, 1, SqueezeExcitation.None, (8, 1, 1), (8, 1, 2)), 8, 8, 3);
        string folder = Directory.CreateTempSubdirectory("repvgg").FullName;
        try
        {
            string path = Path.Combine(folder, "model.onnx");
            File.WriteAllText(path, "old");
            OnnxWriter.Write(network, path);
            AssertSame(network, OnnxReader.Read(path));
            Assert.Null(OnnxReader.ReadDescription(path)!.ClassLabels.FirstOrDefault());
            Assert.Throws<ArgumentException>(() => OnnxWriter.Write(network, path, new OnnxExportOptions { OpsetVersion = 3 }));
            Assert.Throws<DirectoryNotFoundException>(() => OnnxWriter.Write(network, Path.Combine(folder, "none", "model.onnx")));
            Assert.Equal([path], Directory.GetFiles(folder));
            AssertSame(network, OnnxReader.Read(path));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Bad_options_are_refused()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(1, 1, SqueezeExcitation.None, (8, 1, 1), (8, 1, 2)), 8, 8, 3);
        Refused("names", new OnnxExportOptions { InputName = " " });
        Refused("batch size is 0", new OnnxExportOptions { BatchSize = 0 });
        Refused("Operator set 22", new OnnxExportOptions { OpsetVersion = 22 });
        Refused("2 class labels", new OnnxExportOptions { ClassLabels = ["a", "b"] });
        Refused("'flatten'", new OnnxExportOptions { OutputName = "flatten" });
        Refused("'x'", new OnnxExportOptions { InputName = "x", OutputName = "x" });
        var large = network with { Classifier = network.Classifier with { Bias = [0, 7e4f, 0] } };
        Assert.Contains("'linear.bias' holds 70000", Assert.Throws<ArgumentException>(() => OnnxWriter.Write(large, Stream.Null, new OnnxExportOptions { Precision = OnnxPrecision.Half })).Message);

        void Refused(string expected, OnnxExportOptions options) =>
            Assert.Contains(expected, Assert.Throws<ArgumentException>(() => OnnxWriter.Write(network, Stream.Null, options)).Message);
    }

    internal static DeployNetwork RoundTrip(DeployNetwork network, OnnxExportOptions? options = null)
    {
        using var stream = new MemoryStream();
        OnnxWriter.Write(network, stream, options);
        stream.Position = 0;
        return OnnxReader.Read(stream);
    }

    internal static void AssertSame(DeployNetwork expected, DeployNetwork actual)
    {
        Assert.Equal(expected.Architecture, actual.Architecture);
        Assert.Equal((expected.ImageHeight, expected.ImageWidth), (actual.ImageHeight, actual.ImageWidth));
        Assert.Equal(expected.Normalization.Mean.ToArray(), actual.Normalization.Mean.ToArray());
        Assert.Equal(expected.Normalization.Scale.ToArray(), actual.Normalization.Scale.ToArray());
        var (left, right) = (expected.ExportState(), actual.ExportState());
        Assert.Equal(left.Names, right.Names);
        foreach (var (name, tensor) in left)
            Assert.True(tensor.Values.AsSpan().SequenceEqual(right[name].Values), name);
    }

    private static float[] Softmax(float[] logits, int rows) =>
    [
        .. logits.Chunk(logits.Length / rows).SelectMany(row =>
        {
            double sum = row.Sum(value => Math.Exp(value));
            return row.Select(value => (float)(Math.Exp(value) / sum));
        }),
    ];
}
