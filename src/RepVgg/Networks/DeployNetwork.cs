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
/// <param name="Classifier">The final linear layer, on the globally averaged last map.</param>
public sealed record DeployNetwork(
    RepVggArchitecture Architecture,
    int ImageHeight,
    int ImageWidth,
    Normalization Normalization,
    ImmutableArray<DeployBlock> Blocks,
    LinearWeights Classifier)
{
    /// <summary>Number of classes: length of the logits.</summary>
    public int Classes => Classifier.OutputFeatures;
}

/// <summary>Per-channel input normalisation: (pixel - Mean[c]) * Scale[c].</summary>
/// <param name="Mean">One value per input channel, in pixel units.</param>
/// <param name="Scale">One factor per input channel, in 1 / pixel units.</param>
public sealed record Normalization(ImmutableArray<float> Mean, ImmutableArray<float> Scale)
{
    /// <summary>No change: mean 0 and scale 1.</summary>
    /// <param name="channels">Input channels.</param>
    /// <returns>The identity normalisation.</returns>
    public static Normalization Identity(int channels) =>
        new([.. Enumerable.Repeat(0f, channels)], [.. Enumerable.Repeat(1f, channels)]);
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
