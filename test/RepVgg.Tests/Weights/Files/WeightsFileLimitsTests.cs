using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Tests.Weights.Onnx;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;
using RepVgg.Weights.Files;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace RepVgg.Tests.Weights.Files;

public sealed class WeightsFileLimitsTests : IDisposable
{
    private const long MemoryBound = 16 << 20;

    private static readonly RepVggArchitecture _architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (4, 1, 2), (4, 1, 2));

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("image-of-12000.onnx", "images of 12000 x 12000 pixels")]
    [InlineData("image-of-20000.onnx", "20000 x 20000 pixels")]
    [InlineData("image-of-65536.onnx", "65536 pixels")]
    [InlineData("image-of-100000.safetensors", "100000x100000 pixels")]
    public void Files_that_claim_large_images_are_refused(string name, string expected)
    {
        string path = GoldenFiles.PathOf(Path.Combine("hostile", name));
        Assert.Contains(expected, Refusal(() => InferenceEngine.Open(path)));
        Assert.Contains(expected, Refusal(() => WeightsFile.Read(path)));
        Assert.Contains(expected, Refusal(() => WeightsFile.ReadDeployNetwork(path)));
    }

    [Theory]
    [InlineData("sound.onnx")]
    [InlineData("sound.safetensors")]
    public void Files_within_the_limits_are_opened(string name) => InferenceEngine.Open(GoldenFiles.PathOf(Path.Combine("hostile", name))).Dispose();

    // The memory that images of up to 8192 pixels per side need depends on the vectors of the processor.
    [Theory]
    [InlineData(8000, "bytes of memory, and the limit is 1073741824, see WeightsFileLimits.MaximumWorkspaceBytes")]
    [InlineData(8192, "bytes of memory, and the limit is 1073741824, see WeightsFileLimits.MaximumWorkspaceBytes")]
    [InlineData(8193, "the limit is 8192 pixels per side, see WeightsFileLimits.MaximumImageSide")]
    [InlineData(23_170, "the limit is 8192 pixels per side, see WeightsFileLimits.MaximumImageSide")]
    [InlineData(23_171, "they have 536895241 values, of at most 536870912")]
    [InlineData(46_341, "they have 2147488281 values, of at most 536870912")]
    [InlineData(65_535, "they have 4294836225 values, of at most 536870912")]
    [InlineData(int.MaxValue, "of 2147483647 pixels, which must be from 1 to 65535")]
    public void An_ONNX_file_of_large_images_is_refused_by_its_image_size(int side, string expected)
    {
        string path = _folder.Write("large.onnx", CraftedGraph.Start(1, side).End("r0"));
        string message = Refusal(() => InferenceEngine.Open(path));
        Assert.Contains(expected, message);
        Assert.Contains(side.ToString(System.Globalization.CultureInfo.InvariantCulture), message);
        Assert.StartsWith($"'{path}'", message);
    }

    public static TheoryData<string> Formats => ["onnx", "pth", "safetensors", "checkpoint"];

    [Theory]
    [MemberData(nameof(Formats))]
    public void Every_format_obeys_the_limits(string format)
    {
        string path = Written(format, _architecture, 60, 50);
        var limits = new WeightsFileLimits();
        InferenceEngine.Open(path).Dispose();

        Assert.Contains("images of 60 x 50 pixels (height x width) are too large: the limit is 59 pixels per side", Refusal(path, limits with { MaximumImageSide = 59 }));
        Assert.Contains("images of 3 channels and 60 x 50 pixels are too large: they have 9000 values, and the limit is 8999", Refusal(path, limits with { MaximumImageValues = 8999 }));
        string message = Refusal(() => InferenceEngine.Open(path, new WeightsFileOptions { Limits = limits with { MaximumWorkspaceBytes = 20_000 } }));
        Assert.StartsWith($"'{path}' cannot be used: images of 60 x 50 pixels (height x width) are too large for the network: one needs ", message);
        InferenceEngine.Open(path, new WeightsFileOptions { Limits = limits with { MaximumImageSide = 60, MaximumImageValues = 9000 } }).Dispose();
    }

    [Theory]
    [MemberData(nameof(Formats))]
    public void Raised_limits_admit_larger_images(string format)
    {
        string path = Written(format, _architecture, 9000, 16);
        Assert.Contains("images of 9000 x 16 pixels", Refusal(path, new WeightsFileLimits()));
        using var engine = InferenceEngine.Open(path, new WeightsFileOptions { Limits = new WeightsFileLimits { MaximumImageSide = 9000 } });
        Assert.Equal((9000, 16), (engine.ImageHeight, engine.ImageWidth));
    }

    [Theory]
    [InlineData(0, 1, 1, "MaximumImageSide is 0; it must be 1 to 65535")]
    [InlineData(65_536, 1, 1, "MaximumImageSide is 65536; it must be 1 to 65535")]
    [InlineData(1, 0, 1, "MaximumImageValues is 0; it must be 1 to 536870912")]
    [InlineData(1, 1L << 30, 1, "MaximumImageValues is 1073741824; it must be 1 to 536870912")]
    [InlineData(1, 1, 0, "MaximumWorkspaceBytes is 0; it must be 1 or more")]
    public void Limits_out_of_range_are_refused(int side, long values, long bytes, string expected)
    {
        var limits = new WeightsFileLimits { MaximumImageSide = side, MaximumImageValues = values, MaximumWorkspaceBytes = bytes };
        string path = GoldenFiles.PathOf(Path.Combine("hostile", "sound.onnx"));
        Assert.Contains(expected, Assert.Throws<ArgumentException>(() => InferenceEngine.Open(path, new WeightsFileOptions { Limits = limits })).Message);
    }

    /// <summary>Descriptions of networks with more weights than the file has.</summary>
    public static TheoryData<string, RepVggArchitecture, int> Claims()
    {
        var claims = new TheoryData<string, RepVggArchitecture, int>();
        foreach (string format in (string[])["onnx", "pth", "safetensors", "checkpoint"])
        {
            claims.Add(format, Widths(4, 5), 2);
            claims.Add(format, Widths(65_536, 65_536), 2);
            claims.Add(format, _architecture, 30);
            claims.Add(format, _architecture, int.MaxValue);
            claims.Add(format, _architecture with { Stages = [_architecture.Stages[0], _architecture.Stages[1] with { Depth = 4000 }] }, 2);
        }
        return claims;

        static RepVggArchitecture Widths(int first, int second) =>
            _architecture with { Stages = [_architecture.Stages[0] with { Width = first }, _architecture.Stages[1] with { Width = second }] };
    }

    [Theory]
    [MemberData(nameof(Claims))]
    public void A_description_of_more_weights_than_the_file_has_is_refused(string format, RepVggArchitecture claimed, int classes)
    {
        string path = Written(format, _architecture, 16, 16, network => network.Describe() with { Architecture = claimed, Classes = classes });
        long before = GC.GetAllocatedBytesForCurrentThread();
        const string Expected = "its description is of a network with ";
        Assert.Contains(Expected, Refusal(() => WeightsFile.Read(path)));
        if (format == "safetensors")
            Assert.Contains(Expected, Refusal(() => SafetensorsReader.ReadDescription(path)));
        if (format == "onnx")
            Assert.Contains(Expected, Refusal(() => OnnxReader.ReadDescription(path)));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, MemoryBound);
    }

    [Theory]
    [InlineData("pth")]
    [InlineData("safetensors")]
    [InlineData("checkpoint")]
    public void A_description_of_fewer_classes_is_refused(string format)
    {
        string path = Written(format, _architecture, 16, 16, network => network.Describe() with { Classes = 1 });
        Assert.Contains("The description of the network is that of 1 classes, but its weights are those with 2 classes", Refusal(() => WeightsFile.Read(path)));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void A_description_of_other_classes_than_those_of_a_graph_is_refused(int classes) => Assert.Contains(
        $"its classifier has 2 classes, and its description says {classes}", Refusal(() => WeightsFile.Read(Written("onnx", _architecture, 16, 16, network => network.Describe() with { Classes = classes }))));

    [Fact]
    public void A_network_in_code_whose_images_are_too_large_is_a_clear_error()
    {
        var network = RandomNetworks.Create(_architecture, 16, 16, 2) with { ImageHeight = 65_535, ImageWidth = 65_535 };
        Assert.Contains("images of 65535 x 65535 pixels are too large", Assert.Throws<ArgumentException>(() => new InferenceEngine(network)).Message);
        Assert.Contains("images of 2147483647 x 2147483647 pixels are too large", Assert.Throws<ArgumentException>(() => new InferenceEngine(network with { ImageHeight = int.MaxValue, ImageWidth = int.MaxValue })).Message);
    }

    [Fact]
    public void A_network_in_code_is_not_limited_by_the_limits_of_files()
    {
        var network = RandomNetworks.Create(_architecture, 16, 16, 2) with { ImageHeight = 9000, ImageWidth = 16 };
        using var engine = new InferenceEngine(network);
        Assert.Equal(9000, engine.ImageHeight);
    }

    /// <summary>Writes a network of random weights with a description, that of the network if none is given.</summary>
    private string Written(string format, RepVggArchitecture architecture, int height, int width, Func<DeployNetwork, ModelDescription>? describe = null)
    {
        var network = RandomNetworks.Create(architecture, 16, 16, 2) with { ImageHeight = height, ImageWidth = width };
        var description = describe?.Invoke(network) ?? network.Describe();
        string path = _folder.File($"network.{format}");
        switch (format)
        {
            case "onnx":
                // The description in an ONNX file is made from the network that is written.
                OnnxWriter.Write(network, path);
                if (describe is not null)
                    Describe(path, description);
                break;
            case "pth":
                PthWriter.Write(network.ExportState(), path, description);
                break;
            case "safetensors":
                SafetensorsWriter.Write(network.ExportState(), path, description);
                break;
            default:
                var properties = new System.Text.Json.Nodes.JsonObject(description.ToProperties().Select(pair => KeyValuePair.Create(pair.Key, (System.Text.Json.Nodes.JsonNode?)pair.Value)));
                var tensors = new StateDict();
                foreach (var (name, tensor) in network.ExportState())
                    tensors[CheckpointFile.WeightsPrefix + name] = tensor;
                CheckpointFile.Write(path, new System.Text.Json.Nodes.JsonObject { [CheckpointFile.DescriptionKey] = properties }.ToJsonString(), tensors);
                break;
        }
        return path;
    }

    /// <summary>Replaces the description of an ONNX file: of several properties with the same key, the last one counts.</summary>
    private static void Describe(string path, ModelDescription description)
    {
        using var file = File.Open(path, FileMode.Append);
        foreach (var (key, value) in description.ToProperties())
        {
            ProtoMessage pair = new(), model = new();
            pair.Text(OnnxSchema.Property.Key, key);
            pair.Text(OnnxSchema.Property.Value, value);
            model.Message(OnnxSchema.Model.Metadata, pair);
            model.WriteTo(file);
        }
    }

    private static string Refusal(string path, WeightsFileLimits limits)
    {
        var options = new WeightsFileOptions { Limits = limits };
        string message = Refusal(() => InferenceEngine.Open(path, options));
        Assert.StartsWith($"'{path}'", message);
        Refusal(() => WeightsFile.Read(path, options));
        Refusal(() => WeightsFile.ReadDeployNetwork(path, options));
        return message;
    }

    private static string Refusal(Action read) => Assert.Throws<InvalidDataException>(read).Message;

    private static string Refusal(Func<object?> read) => Assert.Throws<InvalidDataException>(read).Message;
}
