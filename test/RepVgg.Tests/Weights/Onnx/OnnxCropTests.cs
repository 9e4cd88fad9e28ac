using Microsoft.ML.OnnxRuntime;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights.Onnx;
using Xunit;

namespace RepVgg.Tests.Weights.Onnx;

/// <summary>The node that cuts the network's input out of a larger image, in ONNX Runtime and when it is read again.</summary>
public class OnnxCropTests
{
    private const int Height = 9, Width = 12;

    private static readonly OnnxCrop _crop = new(14, 15, 3, 2, Height, Width);

    private static DeployNetwork Network { get; } =
        RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 2), (8, 1, 2)), Height, Width, classes: 4);

    private static byte[] Write(OnnxCrop? crop, bool isComposed = false, int opset = 17)
    {
        using var stream = new MemoryStream();
        OnnxWriter.Write(Network, stream, new OnnxExportOptions { OpsetVersion = opset, Chain = new OnnxChainDetails { Background = isComposed ? [9, 8, 7] : [], Crop = crop } });
        return stream.ToArray();
    }

    [Theory]
    [InlineData(10, false)]
    [InlineData(13, true)]
    [InlineData(17, true)]
    [InlineData(21, true)]
    public void ONNX_Runtime_cuts_out_the_middle(int opset, bool isComposed)
    {
        // The composition adds nothing to an opaque image, whose alpha is in front.
        const int Count = 2;
        int channels = isComposed ? 4 : 3;
        var random = new Random(opset);
        float[] input = new float[Count * channels * _crop.InputHeight * _crop.InputWidth];
        var cropped = new List<float>();
        for (int i = 0; i < input.Length; i++)
        {
            int x = i % _crop.InputWidth, y = i / _crop.InputWidth % _crop.InputHeight, channel = i / (_crop.InputWidth * _crop.InputHeight) % channels;
            bool isAlpha = isComposed && channel == 0;
            input[i] = isAlpha ? 255 : random.Next(256);
            if (!isAlpha && x is >= 2 and < 14 && y is >= 3 and < 12)
                cropped.Add(input[i]);
        }
        Assert.Equal(Run(Write(null), [.. cropped], Count, 3, Height, Width), Run(Write(_crop, isComposed, opset), input, Count, channels, _crop.InputHeight, _crop.InputWidth));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_network_is_read_again(bool isComposed)
    {
        byte[] file = Write(_crop, isComposed);
        var (read, details) = (OnnxReader.Read(new MemoryStream(file)), OnnxReader.ReadChainDetails(new MemoryStream(file)));
        Assert.Equal(_crop, details.Crop);
        Assert.Equal((Height, Width), (read.ImageHeight, read.ImageWidth));
        Assert.Equal(Network.Blocks.SelectMany(block => block.Kernel), read.Blocks.SelectMany(block => block.Kernel));
        Assert.Equal(Network.Normalization.Mean.AsSpan(), read.Normalization.Mean.AsSpan());
        var opened = new OnnxNetworkReader(OnnxParser.Parse(new MemoryStream(file)), () => null).Open();
        Assert.Equal((Height, Width), (opened.ImageHeight, opened.ImageWidth));
    }

    [Fact]
    public void Other_nodes_and_descriptions_are_refused()
    {
        (string Reason, Action<OnnxModel> Change)[] changes =
        [
            ("not the crop", model => model.Constants["crop.starts"] = new OnnxConstant("crop.starts", [2], null, [2, 2])),
            ("not the crop", model => model.Constants["crop.ends"] = new OnnxConstant("crop.ends", [2], null, [12, 15])),
            ("not the crop", model => model.Constants["crop.axes"] = new OnnxConstant("crop.axes", [2], null, [3, 2])),
            ("not the crop", model => model.Properties["repvgg.crop"] = "[14,15,2,2,9,12]"),
            ("does not have the size that its crop states, 15 x 15", model => model.Properties["repvgg.crop"] = "[15,15,3,2,9,12]"),
            ("'repvgg.crop' is damaged", model => model.Properties["repvgg.crop"] = "[14,15,6,2,9,12]"),
            ("'repvgg.crop' is damaged", model => model.Properties["repvgg.crop"] = "[14,15,2147483647,2,9,12]"),
            ("'repvgg.crop' is damaged", model => model.Properties["repvgg.crop"] = "[14,15,-1,2,9,12]"),
            ("'repvgg.crop' is damaged", model => model.Properties["repvgg.crop"] = "[14,15]"),
            ("'repvgg.crop' is damaged", model => model.Properties["repvgg.crop"] = "{}"),
            ("Slice", model => model.Properties.Remove("repvgg.crop")),
            ("Slice", model => model.Nodes.Single(node => node.Operation == "Slice").Inputs[0] = "crop/slice"),
        ];
        byte[] file = Write(_crop);
        foreach (var (reason, change) in changes)
        {
            var model = OnnxParser.Parse(new MemoryStream(file));
            Assert.NotNull(new OnnxNetworkReader(model, () => null).Read());
            change(model);
            Assert.Contains(reason, Assert.Throws<InvalidDataException>(() => new OnnxNetworkReader(model, () => null).Read()).Message);
        }

        var whole = OnnxParser.Parse(new MemoryStream(Write(null)));
        whole.Properties["repvgg.crop"] = "[9,12,0,0,9,12]";
        Assert.Contains("does not have the crop", Assert.Throws<InvalidDataException>(() => new OnnxNetworkReader(whole, () => null).Read()).Message);
    }

    [Fact]
    public void A_crop_that_does_not_fit_is_not_written()
    {
        foreach (var (crop, opset) in new[] { (_crop with { Top = 6 }, 17), (_crop with { Width = 11 }, 17), (_crop, 9) })
            Assert.Contains("cannot be written", Assert.Throws<ArgumentException>(() => Write(crop, opset: opset)).Message);
    }

    private static float[] Run(byte[] file, float[] pixels, int count, int channels, int height, int width)
    {
        using var session = new InferenceSession(file);
        Assert.Equal([-1, channels, height, width], session.InputMetadata["input"].Dimensions);
        using var input = OrtValue.CreateTensorValueFromMemory(pixels, [count, channels, height, width]);
        using var run = new RunOptions();
        using var results = session.Run(run, new Dictionary<string, OrtValue> { ["input"] = input }, ["logits"]);
        return results[0].GetTensorDataAsSpan<float>().ToArray();
    }
}
