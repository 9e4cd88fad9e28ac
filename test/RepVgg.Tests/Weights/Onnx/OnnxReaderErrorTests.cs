using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Onnx;
using Xunit;

namespace RepVgg.Tests.Weights.Onnx;

public class OnnxReaderErrorTests
{
    private static readonly DeployNetwork _network = RandomNetworks.Create(
        RandomNetworks.Architecture(1, 1, SqueezeExcitation.AfterRelu, (8, 1, 1), (16, 2, 2)), 6, 6, 3);

    private static byte[] Written()
    {
        using var stream = new MemoryStream();
        OnnxWriter.Write(_network, stream);
        return stream.ToArray();
    }

    private static string Refusal(byte[] file) => Assert.Throws<InvalidDataException>(() => OnnxReader.Read(new MemoryStream(file))).Message;

    [Fact]
    public void A_truncated_file_is_refused_wherever_it_ends()
    {
        byte[] file = Written();
        for (int length = 0; length < file.Length; length += Math.Max(1, file.Length / 997))
            Assert.StartsWith("The stream is not an ONNX file of a RepVGG: ", Refusal(file[..length]));
    }

    [Fact]
    public void A_damaged_byte_gives_a_network_or_one_error()
    {
        byte[] file = Written();
        var random = new Random(7);
        for (int i = 0; i < 2000; i++)
        {
            byte[] damaged = (byte[])file.Clone();
            damaged[random.Next(damaged.Length)] ^= (byte)(1 + random.Next(255));
            try
            {
                OnnxReader.Read(new MemoryStream(damaged));
            }
            catch (InvalidDataException)
            {
            }
        }
    }

    [Fact]
    public void Foreign_files_are_refused()
    {
        Assert.Contains("it holds no graph", Refusal([]));
        Assert.Contains("not an ONNX file", Refusal("PK\u0003\u0004 some zip file, which this is not"u8.ToArray()));
        Assert.Contains("not an ONNX file", Refusal([.. Enumerable.Repeat((byte)0xff, 100)]));
        Assert.Throws<FileNotFoundException>(() => OnnxReader.Read(Path.Combine(Path.GetTempPath(), "there-is-none.onnx")));
    }

    [Fact]
    public void The_file_is_named()
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, "no model");
            Assert.Contains($"'{path}'", Assert.Throws<InvalidDataException>(() => OnnxReader.Read(path)).Message);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData("pool", "'pool' must be a mean over height and width, but it is the output of Foo 'pool'")]
    [InlineData("linear", "'logits' must be the output of a linear layer, but it is the output of Foo 'logits'")]
    [InlineData("stage1/1/conv", "'stage1/1/conv' must be the output of a convolution, but it is the output of Foo 'stage1/1/conv'")]
    [InlineData("stage1/1/se/sigmoid", "the input of its pooling is the output of Mul 'stage1/1/se/mul'")]
    [InlineData("stage1/1/se/relu", "'stage1/1/se/relu' must be the output of Relu, but it is the output of Foo")]
    [InlineData("stage1/1/se/down", "'stage1/1/se/down' must be the output of Conv, but it is the output of Foo")]
    [InlineData("normalize/sub", "Foo 'normalize/sub' is neither part of a RepVGG block")]
    public void An_unknown_operator_is_named(string node, string expected) =>
        Refused(expected, model => model.Nodes.Single(item => item.Name == (node == "linear" ? "logits" : node)).Operation = "Foo");

    [Fact]
    public void Wrong_wiring_is_said()
    {
        Refused("two operations have the output 'pool'", model => Node(model, "flatten").Outputs[0] = "pool");
        Refused("form a cycle", model => Node(model, "stage0/conv").Inputs[0] = "stage1/1/relu");
        Refused("gate", model => Node(model, "stage1/1/se/pool").Inputs[0] = "stage1/0/relu");
        Refused("has no input 1", model => Node(model, "stage1/1/conv").Inputs.RemoveRange(1, 2));
        Refused("no operation computes its output", model => Node(model, "logits").Outputs[0] = "other");
        Refused("no outputs", model => model.Outputs.Clear());
        Refused("0 inputs", model => model.Inputs.Clear());
        Refused("domain 'com.example'", model => Node(model, "pool").Domain = "com.example");
    }

    [Fact]
    public void Wrong_shapes_and_attributes_are_said()
    {
        Refused("input 1 of Gemm 'logits' is not a floating-point constant", model => model.Constants.Remove("linear.weight"));
        Refused("the bias of Gemm 'logits' has 5 values for 3 classes", model => model.SetFloats("linear.bias", new float[5], [5]));
        Refused("RepVGG has 3x3 and 1x1 kernels only", model => model.Reshape("stage1.0.rbr_reparam.weight", 16, 8, 9));
        Refused("padded by [0, 0, 0, 0]", model => SetIntegers(model, "stage1/0/conv", "pads", 0, 0, 0, 0));
        Refused("the strides of Conv 'stage1/0/conv' are not equal for height and width", model => SetIntegers(model, "stage1/0/conv", "strides", 2, 1));
        Refused("a stride, a dilation or groups that a RepVGG block cannot have", model => SetIntegers(model, "stage1/0/conv", "dilations", 2, 2));
        Refused("its block 1 is 8 to 16 channels, stride 1", model => SetIntegers(model, "stage1/0/conv", "strides", 1, 1));
        Refused("transposes its input", model => Node(model, "logits").Attributes["transA"] = new OnnxAttribute { Integer = 1 });
        Refused("'transB' of Gemm 'logits' is of the wrong type", model => Node(model, "logits").Attributes["transB"] = new OnnxAttribute { Float = 1 });
        Refused("not one value per channel", model =>
        {
            model.SetFloats("normalize.mean", new float[2], [1, 1, 1, 2]);
        });
        Refused("too small", model => model.Inputs[0] = model.Inputs[0] with { Shape = [null, 1, 1, 6] });
        Refused("[N, 1, H, W]", model => model.Inputs[0] = model.Inputs[0] with { Shape = [null, 3, 6, 6] });
    }

    [Fact]
    public void A_description_that_the_graph_contradicts_is_refused()
    {
        var other = _network.Architecture with { SqueezeExcitation = SqueezeExcitation.None };
        using var stream = new MemoryStream();
        OnnxWriter.Write(_network with { Architecture = other }, stream);
        Assert.Contains("its block 0 is", Refusal(stream.ToArray()));

        other = _network.Architecture with { Stages = _network.Architecture.Stages.Add(new StageSpec("stage2", 16, 1, 1)) };
        using var longer = new MemoryStream();
        OnnxWriter.Write(_network with { Architecture = other }, longer);
        Assert.Contains("its description is of a network with", Refusal(longer.ToArray()));
    }

    private static OnnxNode Node(OnnxModel model, string name) => model.Nodes.Single(node => node.Name == name);

    private static void SetIntegers(OnnxModel model, string node, string attribute, params long[] values)
    {
        var list = Node(model, node).Attributes[attribute].Integers;
        list.Clear();
        list.AddRange(values);
    }

    /// <summary>Changes a good model, and expects the reason for which it is refused then.</summary>
    private static void Refused(string expected, Action<OnnxModel> damage)
    {
        var model = OnnxParser.Parse(new MemoryStream(Written()));
        damage(model);
        var error = Assert.ThrowsAny<Exception>(() => new OnnxNetworkReader(model, () => ModelDescription.FromProperties(model.Properties, long.MaxValue)).Read());
        Assert.True(error is InvalidDataException or ArgumentException, error.ToString());
        Assert.Contains(expected, error.Message);
    }
}
