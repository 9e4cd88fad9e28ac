using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Runtime.Files;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace RepVgg.Tests.Inference;

/// <summary>Engines that take their weights straight from a file.</summary>
public sealed class OpenedEngineTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("repvgg-open-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private string File(string name) => Path.Combine(_folder, name);

    [Theory]
    [InlineData(3, 1, SqueezeExcitation.None)]
    [InlineData(1, 2, SqueezeExcitation.BeforeRelu)]
    [InlineData(3, 1, SqueezeExcitation.AfterRelu)]
    public void An_opened_file_gives_the_bits_of_the_network_in_it(int channels, int groups, SqueezeExcitation squeezeExcitation)
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(channels, groups, squeezeExcitation, (16, 1, 2), (32, 2, 2), (48, 2, 1)), 21, 19, classes: 7);
        OnnxWriter.Write(network, File("a.onnx"));
        OnnxWriter.Write(network, File("half.onnx"), new OnnxExportOptions { Precision = OnnxPrecision.Half });
        SafetensorsWriter.Write(network.ExportState(), File("a.safetensors"), network.Describe());
        AssertSame(network, File("a.onnx"));
        AssertSame(network, File("a.safetensors"));
        AssertSame(OnnxReader.Read(File("half.onnx")), File("half.onnx"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Features_can_be_opened(bool pooled)
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (16, 1, 2), (24, 2, 2)), 12, 14, classes: 3).TakeFeatures(pooled: pooled);
        OnnxWriter.Write(network, File("features.onnx"));
        AssertSame(network, File("features.onnx"));
    }

    [Theory]
    [InlineData("deploy-view")]
    [InlineData("training")]
    [InlineData("training-groups")]
    [InlineData("training-after")]
    public void Graphs_exported_by_PyTorch_are_fused(string name)
    {
        var input = GoldenFiles.Floats(Path.Combine("onnx", $"{name}-input.npy"));
        var logits = GoldenFiles.Floats(Path.Combine("onnx", $"{name}-logits.npy"));
        using var engine = InferenceEngine.Open(GoldenFiles.PathOf(Path.Combine("onnx", $"{name}.onnx")), threads: 2);
        Assert.Equal((input.Shape[1], 16, 20, 5), (engine.InputChannels, engine.ImageHeight, engine.ImageWidth, engine.Classes));
        float[] given = new float[logits.Values.Length];
        engine.Run(input.Values, 2, given);
        Compare.Close(logits.Values, given, 1e-4);
    }

    [Fact]
    public void Weights_of_plain_convolutions_stay_in_the_file()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (48, 1, 2), (32, 2, 2)), 21, 19, classes: 7);
        OnnxWriter.Write(network, File("plain.onnx"));
        ByteSource.Use(File("plain.onnx"), file =>
        {
            var source = OnnxReader.OpenNetwork(file, new WeightsFileOptions()).Network;
            Assert.All(source.Blocks, block => Assert.False(block.Kernel.IsInMemory));
            return source;
        });
    }

    [Fact]
    public void The_file_is_free_when_the_engine_is_open()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 1), (8, 1, 1)), 6, 5, classes: 4);
        OnnxWriter.Write(network, File("a.onnx"));
        using var engine = InferenceEngine.Open(File("a.onnx"), threads: 1);
        float[] pixels = RandomNetworks.Pixels(network, 1), before = new float[4], after = new float[4];
        engine.Run(pixels, 1, before);
        System.IO.File.WriteAllBytes(File("a.onnx"), new byte[100]);
        System.IO.File.Delete(File("a.onnx"));
        engine.Run(pixels, 1, after);
        Assert.Equal(before, after);
    }

    [Fact]
    public void Files_that_cannot_be_opened_are_named()
    {
        Assert.Throws<FileNotFoundException>(() => InferenceEngine.Open(File("none.onnx")));
        Assert.Throws<ArgumentException>(() => InferenceEngine.Open(" "));
        System.IO.File.WriteAllText(File("text.onnx"), "no model");
        Assert.Contains(File("text.onnx"), Assert.Throws<InvalidDataException>(() => InferenceEngine.Open(File("text.onnx"))).Message);
        System.IO.File.WriteAllBytes(File("empty.onnx"), []);
        Assert.Contains("is empty", Assert.Throws<InvalidDataException>(() => InferenceEngine.Open(File("empty.onnx"))).Message);
    }

    [Fact]
    public void A_damaged_file_gives_weights_that_fit_or_one_error()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(1, 1, SqueezeExcitation.AfterRelu, (8, 1, 1), (16, 2, 2)), 6, 6, 3);
        using var stream = new MemoryStream();
        OnnxWriter.Write(network, stream);
        byte[] whole = stream.ToArray();
        var random = new Random(3);
        for (int i = 0; i < 500; i++)
        {
            byte[] damaged = (byte[])whole.Clone();
            damaged[random.Next(damaged.Length)] ^= (byte)(1 + random.Next(255));
            System.IO.File.WriteAllBytes(File("damaged.onnx"), i % 4 == 0 ? damaged[..random.Next(damaged.Length)] : damaged);
            try
            {
                using var file = System.IO.File.OpenRead(File("damaged.onnx"));
                var source = OnnxReader.OpenNetwork(ByteSource.Of(file), new WeightsFileOptions()).Network;
                Assert.All(source.Blocks, block => Assert.Equal(block.Kernel.Length, block.Kernel.Read().Length));
                Assert.Equal(source.Classifier.Weight.Length, source.Classifier.Weight.Read().Length);
            }
            catch (InvalidDataException)
            {
            }
        }
    }

    [Fact]
    public void Networks_whose_parts_do_not_fit_are_refused()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.BeforeRelu, (16, 1, 1), (32, 2, 2)), 6, 6, 3);
        Refused("reads 16 channels", network with { Blocks = network.Blocks.RemoveAt(1) });
        Refused("has 9 weights and 16 biases", With(network.Blocks[0] with { Kernel = [.. new float[9]] }));
        Refused("must have both squeeze-and-excitation layers", With(network.Blocks[0] with { Excite = null }));
        Refused("the squeeze of stage0", With(network.Blocks[0] with { Squeeze = network.Blocks[0].Squeeze! with { InputFeatures = 32 } }));
        Refused("the classifier", network with { Classifier = network.Classifier with { Bias = [1] } });
        Refused("the normalisation", network with { Normalization = Normalization.Identity(1) });

        DeployNetwork With(DeployBlock stem) => network with { Blocks = network.Blocks.SetItem(0, stem) };

        static void Refused(string problem, DeployNetwork network) =>
            Assert.Contains(problem, Assert.Throws<ArgumentException>(() => new InferenceEngine(network)).Message);
    }

    private static void AssertSame(DeployNetwork network, string path)
    {
        float[] pixels = RandomNetworks.Pixels(network, 3);
        foreach (int threads in (int[])[1, 2])
        {
            using var held = new InferenceEngine(network, threads);
            using var opened = InferenceEngine.Open(path, threads);
            Assert.Equal((held.InputLength, held.OutputLength, held.Classes, threads), (opened.InputLength, opened.OutputLength, opened.Classes, opened.Threads));
            float[] expected = new float[3 * held.OutputLength], actual = new float[expected.Length];
            held.Run(pixels, 3, expected);
            opened.Run(pixels, 3, actual);
            Assert.Equal(expected, actual);
        }
    }
}
