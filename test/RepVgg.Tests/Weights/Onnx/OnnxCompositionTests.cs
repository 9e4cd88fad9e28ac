using System.Collections.Immutable;
using Microsoft.ML.OnnxRuntime;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights.Onnx;
using Xunit;

namespace RepVgg.Tests.Weights.Onnx;

/// <summary>The nodes that put images on a background, in ONNX Runtime and when they are read again.</summary>
public class OnnxCompositionTests
{
    // 256 columns for all alpha values, and rows for colours.
    private const int Height = 17, Width = 256;

    private static DeployNetwork Network(int channels) =>
        RandomNetworks.Create(RandomNetworks.Architecture(channels, 1, SqueezeExcitation.None, (8, 1, 2), (8, 1, 2)), Height, Width, classes: 3);

    private static byte[] Write(DeployNetwork network, ImmutableArray<byte> background, int opset = 17)
    {
        using var stream = new MemoryStream();
        OnnxWriter.Write(network, stream, new OnnxExportOptions { OpsetVersion = opset, Chain = new OnnxChainDetails { Background = background } });
        return stream.ToArray();
    }

    [Theory]
    [InlineData(9, 3)]
    [InlineData(11, 1)]
    [InlineData(13, 3)]
    [InlineData(17, 1)]
    [InlineData(17, 3)]
    [InlineData(18, 3)]
    [InlineData(21, 3)]
    public void ONNX_Runtime_composes_exactly(int opset, int channels)
    {
        var random = new Random(opset);
        var network = Network(channels);
        ImmutableArray<byte> background = channels == 3 ? [255, 130, 1] : [77];
        const int Count = 3, Length = Height * Width;
        float[] input = new float[Count * (1 + channels) * Length], composed = new float[Count * channels * Length];
        for (int n = 0; n < Count; n++)
        {
            for (int i = 0; i < Length; i++)
            {
                // All alpha values; 0 everywhere; 0 everywhere but in one pixel.
                int alpha = n switch { 0 => i % Width, 1 => 0, _ => i == Length - 1 ? 1 : 0 };
                input[n * (1 + channels) * Length + i] = alpha;
                for (int c = 0; c < channels; c++)
                {
                    int colour = random.Next(256);
                    input[(n * (1 + channels) + 1 + c) * Length + i] = colour;
                    composed[(n * channels + c) * Length + i] = n == 1 ? colour : (float)Math.Min(255, colour + Math.Round(background[c] * (255 - alpha) / 255.0));
                }
            }
        }
        Assert.Equal(Run(Write(network, []), composed, Count, channels), Run(Write(network, background, opset), input, Count, 1 + channels));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void The_network_is_read_again(int channels)
    {
        var network = Network(channels);
        ImmutableArray<byte> background = channels == 3 ? [0, 130, 255] : [255];
        byte[] file = Write(network, background);

        var (read, details) = (OnnxReader.Read(new MemoryStream(file)), OnnxReader.ReadChainDetails(new MemoryStream(file)));
        Assert.Equal(background.AsSpan(), details.Background.AsSpan());
        Assert.Equal(channels, read.Architecture.InputChannels);
        Assert.Equal(network.Blocks.SelectMany(block => block.Kernel), read.Blocks.SelectMany(block => block.Kernel));
        Assert.Equal(network.Normalization.Mean.AsSpan(), read.Normalization.Mean.AsSpan());
        Assert.Equal(network.Classifier.Weight.AsSpan(), read.Classifier.Weight.AsSpan());
        Assert.Equal(network.Classifier.Bias.AsSpan(), read.Classifier.Bias.AsSpan());
    }

    [Fact]
    public void A_graph_without_a_chain_has_no_details()
    {
        var network = Network(3);
        byte[] file = Write(network, []);
        var (read, details) = (OnnxReader.Read(new MemoryStream(file)), OnnxReader.ReadChainDetails(new MemoryStream(file)));
        Assert.Equal(network.Classifier.Weight.AsSpan(), read.Classifier.Weight.AsSpan());
        Assert.True(details.Background.IsEmpty);
        Assert.Null(details.Transformer);
    }

    [Fact]
    public void Other_nodes_in_front_of_a_network_are_refused()
    {
        (string Reason, Action<OnnxModel> Change)[] changes =
        [
            ("not the composition", model => model.SetFloats("compose.255", [254])),
            ("not the composition", model => model.SetFloats("compose.half", [0.25f])),
            ("not the composition", model => model.SetFloats("compose.background", [1, 2, 4])),
            ("not the composition", model => model.Constants["compose.colour_indices"] = new OnnxConstant("compose.colour_indices", [3], null, [3, 2, 1])),
            ("Floor", model => model.Nodes.Single(node => node.Operation == "Floor").Operation = "Ceil"),
            ("Min", model => model.Properties.Remove("repvgg.background")),
            ("not the composition", model => model.Properties["repvgg.background"] = "[1,2]"),
            ("'repvgg.background' is damaged", model => model.Properties["repvgg.background"] = "[1,2,300]"),
        ];
        byte[] file = Write(Network(3), [1, 2, 3]);
        foreach (var (reason, change) in changes)
        {
            var model = OnnxParser.Parse(new MemoryStream(file));
            Assert.NotNull(new OnnxNetworkReader(model, () => null).Read());
            change(model);
            Assert.Contains(reason, Assert.Throws<InvalidDataException>(() => new OnnxNetworkReader(model, () => null).Read()).Message);
        }
    }

    [Fact]
    public void A_background_for_another_number_of_channels_is_refused()
    {
        Assert.Contains("The background has 1 values for 3 channels", Assert.Throws<ArgumentException>(() => Write(Network(3), [1])).Message);
    }

    private static float[] Run(byte[] file, float[] pixels, int count, int channels)
    {
        using var session = new InferenceSession(file);
        Assert.Equal([-1, channels, Height, Width], session.InputMetadata["input"].Dimensions);
        using var input = OrtValue.CreateTensorValueFromMemory(pixels, [count, channels, Height, Width]);
        using var run = new RunOptions();
        using var results = session.Run(run, new Dictionary<string, OrtValue> { ["input"] = input }, ["logits"]);
        return results[0].GetTensorDataAsSpan<float>().ToArray();
    }
}
