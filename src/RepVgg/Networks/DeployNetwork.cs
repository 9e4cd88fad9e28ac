using System.Collections.Immutable;
using RepVgg.Architectures;

namespace RepVgg.Networks;

/// <summary>A fused RepVGG: plain 3x3 convolutions with bias and ReLU, global average pool, linear. Immutable data.</summary>
/// <remarks>
/// The inference engine runs it, ONNX carries it. Input is NCHW with raw pixel values (usually 0..255);
/// <see cref="Normalization"/> is the first thing that happens to it, padding comes after it.
/// </remarks>
/// <param name="Architecture">What was fused.</param>
/// <param name="ImageHeight">Input height in pixels.</param>
/// <param name="ImageWidth">Input width in pixels.</param>
/// <param name="Normalization">Applied to the input, per channel.</param>
/// <param name="Blocks">The fused blocks in order.</param>
/// <param name="Classifier">The final linear layer, on the globally averaged last map; without outputs where the network gives features.</param>
public sealed record DeployNetwork(
    RepVggArchitecture Architecture,
    int ImageHeight,
    int ImageWidth,
    Normalization Normalization,
    ImmutableArray<DeployBlock> Blocks,
    LinearWeights Classifier)
{
    /// <summary>What the network gives; <see cref="FeatureExtraction.TakeFeatures"/> makes networks that give features.</summary>
    public NetworkOutput Output { get; init; } = NetworkOutput.Logits;

    /// <summary>Number of classes: length of the logits; 0 where the network gives features.</summary>
    public int Classes => Classifier.OutputFeatures;

    /// <summary>Dimensions of what the network gives for one image: [classes], [channels], or [channels, height, width].</summary>
    public ImmutableArray<int> OutputShape => Output switch
    {
        NetworkOutput.Logits => [Classes],
        NetworkOutput.PooledFeatures => [Architecture.FeatureWidth],
        _ => [Architecture.FeatureWidth, MapSide(ImageHeight), MapSide(ImageWidth)],
    };

    /// <summary>Number of values that the network gives for one image.</summary>
    public int OutputLength => OutputShape.Aggregate(1, (product, size) => checked(product * size));

    private int MapSide(int side) => Architecture.Stages.Aggregate(side, (size, stage) => ConvolutionSize.OutputOfBlock(size, stage.Stride));
}

/// <summary>One fused block: convolution 3x3 (padding 1) + bias, then ReLU; squeeze-and-excitation where <paramref name="Shape"/> says.</summary>
/// <param name="Shape">The block's shape.</param>
/// <param name="Kernel">OIHW: [OutputChannels, InputChannels / Groups, 3, 3].</param>
/// <param name="Bias">[OutputChannels].</param>
/// <param name="Squeeze">1x1 convolution OutputChannels -> SqueezeWidth of the squeeze-and-excitation, followed by ReLU; null without.</param>
/// <param name="Excite">1x1 convolution SqueezeWidth -> OutputChannels, followed by a sigmoid; null without.</param>
public sealed record DeployBlock(
    BlockSpec Shape,
    ImmutableArray<float> Kernel,
    ImmutableArray<float> Bias,
    LinearWeights? Squeeze = null,
    LinearWeights? Excite = null);

/// <summary>A linear layer: y = W x + b.</summary>
/// <param name="InputFeatures">Length of x.</param>
/// <param name="OutputFeatures">Length of y.</param>
/// <param name="Weight">[OutputFeatures, InputFeatures], row-major.</param>
/// <param name="Bias">[OutputFeatures].</param>
public sealed record LinearWeights(int InputFeatures, int OutputFeatures, ImmutableArray<float> Weight, ImmutableArray<float> Bias);
