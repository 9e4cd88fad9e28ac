using System.Collections.Immutable;
using RepVgg.Architectures;

namespace RepVgg.Networks;

/// <summary>What a deploy network gives for an image.</summary>
public enum NetworkOutput
{
    /// <summary>The classifier's logits, [classes].</summary>
    Logits,

    /// <summary>The mean of the last block's map over height and width, [channels].</summary>
    PooledFeatures,

    /// <summary>The last block's map, [channels, height, width].</summary>
    FeatureMap,
}

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

/// <summary>Per-channel input normalisation: (pixel - Mean[c]) * Scale[c].</summary>
/// <param name="Mean">One value per input channel, in pixel units.</param>
/// <param name="Scale">One factor per input channel, in 1 / pixel units.</param>
public sealed record Normalization(ImmutableArray<float> Mean, ImmutableArray<float> Scale)
{
    /// <summary>That of the ImageNet networks: for pixels 0..255 of R, G, B, mean 123.675, 116.28, 103.53 and standard deviation 58.395, 57.12, 57.375.</summary>
    public static Normalization ImageNet { get; } = new([123.675f, 116.28f, 103.53f], [1 / 58.395f, 1 / 57.12f, 1 / 57.375f]);

    /// <summary>Whether it changes nothing.</summary>
    public bool IsIdentity => Mean.All(mean => mean == 0) && Scale.All(scale => scale == 1);

    /// <summary>No change: mean 0 and scale 1.</summary>
    /// <param name="channels">Input channels.</param>
    /// <returns>The identity normalisation.</returns>
    public static Normalization Identity(int channels)
    {
        var scale = new float[channels];
        Array.Fill(scale, 1f);
        return new([.. new float[channels]], [.. scale]);
    }
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
