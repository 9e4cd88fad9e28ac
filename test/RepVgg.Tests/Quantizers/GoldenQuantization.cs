using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.PyTorch;

namespace RepVgg.Tests.Quantizers;

/// <summary>The golden data of quantization: a network of five blocks, its integers and its activations.</summary>
internal static class GoldenQuantization
{
    private const int Size = 16, Classes = 5;

    public static RepVggArchitecture Architecture { get; } = new()
    {
        Name = "golden",
        Stages = [new StageSpec("stage0", 8, 1, 2), new StageSpec("stage1", 12, 2, 2), new StageSpec("stage2", 16, 2, 2)],
    };

    /// <summary>The network in floating point.</summary>
    public static DeployNetwork FloatNetwork() =>
        DeployNetwork.FromDeployForm(Architecture, PthReader.Read(GoldenFiles.PathOf("int8/deploy.pth")), Size, Size, Normalization.Identity(3));

    /// <summary>The pixels of <c>input</c> or <c>calibration</c>, and the number of images.</summary>
    public static (float[] Pixels, int Count) Images(string name)
    {
        var images = GoldenFiles.Floats($"int8/{name}.npy");
        return (images.Read(), images.Shape[0]);
    }

    /// <summary>The quantized network.</summary>
    /// <param name="kind">Empty, or <c>-reduced</c> for weights of -64 to 64.</param>
    /// <param name="quantizesClassifier">Whether the classifier is one of integers.</param>
    public static QuantizedNetwork Network(string kind, bool quantizesClassifier)
    {
        var state = PthReader.Read(GoldenFiles.PathOf($"int8/quantized{kind}.pth"));
        var network = FloatNetwork();
        return new QuantizedNetwork(Architecture, Size, Size, Normalization.Identity(3), [.. network.Blocks.Select(block => new QuantizedBlock
        {
            Shape = block.Shape,
            Convolution = Weights(block.Shape.Name),
            Output = Parameters($"{block.Shape.Name}.output"),
        })])
        {
            Input = Parameters("input"),
            Pooled = quantizesClassifier ? Parameters("pooled") : null,
            QuantizedClassifier = quantizesClassifier ? Weights("linear") : null,
            Classifier = quantizesClassifier ? new LinearWeights(16, 0, [], []) : network.Classifier,
        };

        QuantizationParameters Parameters(string name) => new(state[$"{name}.scale"].Read()[0], (byte)state[$"{name}.zero_point"].Read()[0]);

        QuantizedWeights Weights(string name) => new(
            [.. state[$"{name}.weight"].Read().Select(value => (sbyte)value)], [.. state[$"{name}.weight.scale"].Read()], [.. state[$"{name}.bias"].Read().Select(value => (int)value)]);
    }

    /// <summary>The integers of all activations.</summary>
    public static Dictionary<string, byte[]> Activations(string kind) =>
        PthReader.Read(GoldenFiles.PathOf($"int8/activations{kind}.pth")).ToDictionary(pair => pair.Key, pair => Array.ConvertAll(pair.Value.Read(), value => (byte)value));
}
