using System.Collections.Immutable;
using RepVgg.Architectures;

namespace RepVgg.Networks;

/// <summary>A RepVGG network in deploy form: 3x3 convolutions with bias and ReLU, global average pooling and a linear layer. The data is immutable.</summary>
/// <remarks>
/// It can be run by the inference engine and exported to ONNX. The input is NCHW with raw pixel values (usually 0..255).
/// <see cref="Normalization"/> is applied to the input first; the zero padding of the first convolution is applied after it.
/// </remarks>
/// <param name="Architecture">The architecture of the network.</param>
/// <param name="ImageHeight">Input height in pixels.</param>
/// <param name="ImageWidth">Input width in pixels.</param>
/// <param name="Normalization">Applied to the input, per channel.</param>
/// <param name="Blocks">The fused blocks in order.</param>
/// <param name="Classifier">The final linear layer, applied to the global average of the last map; it has no outputs if the network returns features.</param>
public sealed record DeployNetwork(
    RepVggArchitecture Architecture,
    int ImageHeight,
    int ImageWidth,
    Normalization Normalization,
    ImmutableArray<DeployBlock> Blocks,
    LinearWeights Classifier)
{
    /// <summary>The kind of output. <see cref="FeatureExtraction.TakeFeatures"/> creates networks that return features.</summary>
    public NetworkOutput Output { get; init; } = NetworkOutput.Logits;

    /// <summary>Number of classes: length of the logits; 0 if the network returns features.</summary>
    public int Classes => Classifier.OutputFeatures;

    /// <summary>Dimensions of the output for one image: [classes], [channels], or [channels, height, width].</summary>
    public ImmutableArray<int> OutputShape => Output switch
    {
        NetworkOutput.Logits => [Classes],
        NetworkOutput.PooledFeatures => [Architecture.FeatureWidth],
        _ => [Architecture.FeatureWidth, MapSide(ImageHeight), MapSide(ImageWidth)],
    };

    /// <summary>Number of output values for one image.</summary>
    public int OutputLength => OutputShape.Aggregate(1, (product, size) => checked(product * size));

    private int MapSide(int side) => Architecture.Stages.Aggregate(side, (size, stage) => ConvolutionSize.OutputOfBlock(size, stage.Stride));
}

/// <summary>
/// One fused block: convolution 3x3 (padding 1) + bias, then ReLU, with squeeze-and-excitation before or after the ReLU if
/// <paramref name="Shape"/> specifies it.
/// </summary>
/// <param name="Shape">The block's shape.</param>
/// <param name="Kernel">OIHW: [OutputChannels, InputChannels / Groups, 3, 3].</param>
/// <param name="Bias">[OutputChannels].</param>
/// <param name="Squeeze">1x1 convolution OutputChannels -> SqueezeWidth of the squeeze-and-excitation, followed by ReLU; null without squeeze-and-excitation.</param>
/// <param name="Excite">1x1 convolution SqueezeWidth -> OutputChannels, followed by a sigmoid; null without squeeze-and-excitation.</param>
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
