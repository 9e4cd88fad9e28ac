using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Runtime;
using RepVgg.Testing;
using RepVgg.Tests.Weights.PyTorch;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace RepVgg.Tests.Weights.Files;

/// <summary>Names from files in messages: a terminal that prints a message must not get control characters from a file.</summary>
public sealed class NamesInMessagesTests : IDisposable
{
    // Clears a terminal and sets its title; the last character reverses the order of the text after it.
    private const string Commands = "\u001b[2J\u001b]0;title\u0007\u009b1m\u202e";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("linear.weight", "linear.weight" + Commands)] // no weight of the network
    [InlineData("stage0.rbr_dense.conv.weight", "stage0" + Commands + ".rbr_dense.conv.weight")]
    [InlineData("stage0.rbr_dense.conv.weight", "stage0.rbr_dense.conv.weight" + Commands + ".rbr_dense.conv.weight")]
    [InlineData("stage1.0.rbr_dense.conv.weight", Commands + ".stage1.0.rbr_dense.conv.weight")]
    [InlineData("linear.bias", Commands + ".linear.weight")]
    public void Names_of_tensors_are_printed_without_control_characters(string name, string renamed)
    {
        var state = new StateDict();
        foreach (var (other, tensor) in GoldenNetworks.TrainingState("tiny"))
            state[other == name ? renamed : other] = tensor;
        PthWriter.Write(state, _folder.File("a.pth"));
        SafetensorsWriter.Write(state, _folder.File("a.safetensors"));
        foreach (string file in (string[])["a.pth", "a.safetensors"])
            Refused(_folder.File(file), "holds no weights of a RepVGG network");
    }

    [Theory]
    [InlineData("dtype\":\"F32", "dtype\":\"X32", "'linear.bi??'")]
    [InlineData("data_offsets\":[0,", "data_offsets\":[1,", "shape")]
    public void A_damaged_header_is_printed_without_control_characters(string text, string damaged, string expected)
    {
        var state = new StateDict { ["linear.bi\u0007\u009b"] = TensorData.Zeros(4) };
        SafetensorsWriter.Write(state, _folder.File("a"));
        string content = System.Text.Encoding.Latin1.GetString(File.ReadAllBytes(_folder.File("a")));
        Assert.Contains(text, content);
        Refused(_folder.Write("a", System.Text.Encoding.Latin1.GetBytes(content.Replace(text, damaged, StringComparison.Ordinal))), expected);
    }

    [Fact]
    public void Names_in_a_checkpoint_are_printed_without_control_characters()
    {
        Refused(_folder.Write("call", new CraftedPickle().Raw("\u0080\u0002").Global("o" + Commands[..^1], "system").Raw(")R.").InZip()), "an object of o?[2J?]0;title");
        Refused(_folder.Write("storage", CraftedPickle.OneTensor([2], [1], key: "\u001b[2J").InZip()), "it has no entry 'archive/data/?[2J'");
        Refused(_folder.Write("folder", CraftedPickle.OneTensor([2], [1], key: "\u001b", count: 4).InZip(("\u001b", 4))), "storage '?' has 4 bytes");
    }

    [Fact]
    public void Names_in_a_graph_are_printed_without_control_characters()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 1), (8, 2, 2)), 8, 8, 2);
        OnnxWriter.Write(network, _folder.File("a"), new OnnxExportOptions { OutputName = Commands });
        string message = Assert.Throws<InvalidDataException>(() => InferenceEngine.Open(_folder.File("a"), new WeightsFileOptions { Output = "y" })).Message;
        Assert.Contains("it has no output 'y'; it has '?[2J?]0;title", message);
        Assert.Equal(MessageText.WithoutControls(message), message);
    }

    [Fact]
    public void The_name_of_an_architecture_has_no_control_characters()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 1), (8, 2, 2)), 8, 8, 2);
        var description = network.Describe();
        var state = network.ExportState();
        PthWriter.Write(state, _folder.File("a.pth"), description with { Architecture = description.Architecture with { Name = Commands } });
        Refused(_folder.File("a.pth"), "its name contains control characters");
        SafetensorsWriter.Write(state, _folder.File("a.safetensors"), description with { Architecture = description.Architecture with { Name = "a\nb" } });
        Refused(_folder.File("a.safetensors"), "its name contains control characters");
    }

    /// <summary>char.IsDigit is true for the digits of all scripts, which int.Parse refuses.</summary>
    [Theory]
    [InlineData('\u0663')] // Arabic-Indic
    [InlineData('\u06f1')] // Persian
    [InlineData('\u0967')] // Devanagari
    [InlineData('\uff12')] // full-width
    public void Digits_of_other_scripts_are_refused(char digit)
    {
        foreach (var state in (StateDict[])[GoldenNetworks.TrainingState("tiny"), GoldenNetworks.DeployState("tiny")])
        {
            foreach (var (part, replaced) in ((string, string)[])[("stage1.0.", $"stage{digit}.0."), ("stage1.0.", $"stage1.{digit}."), ("stage", $"stage{digit}")])
            {
                var renamed = new StateDict();
                foreach (var (name, tensor) in state)
                    renamed[name.Replace(part, replaced, StringComparison.Ordinal)] = tensor;
                PthWriter.Write(renamed, _folder.File("a.pth"));
                Refused(_folder.File("a.pth"), "The digits of its name must be 0 to 9");
            }
        }
    }

    private static void Refused(string path, string expected)
    {
        foreach (var read in (Action[])[() => WeightsFile.Read(path), () => InferenceEngine.Open(path).Dispose()])
        {
            string message = Assert.Throws<InvalidDataException>(read).Message;
            Assert.Contains(expected, message);
            Assert.Equal(MessageText.WithoutControls(message), message);
            Assert.DoesNotContain("(Parameter", message);
        }
    }
}
