using System.Collections.Immutable;
using RepVgg.Architectures;
using RepVgg.Weights;

namespace RepVgg.Networks;

/// <summary>An affine mapping between real numbers and bytes: real = Scale * (q - ZeroPoint).</summary>
/// <remarks>Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018, equation 1.</remarks>
/// <param name="Scale">The difference of the numbers of two neighbouring bytes, more than 0.</param>
/// <param name="ZeroPoint">The byte of the number 0.</param>
public readonly record struct QuantizationParameters(float Scale, byte ZeroPoint)
{
    /// <summary>The parameters with which the bytes 0 to 255 cover a range, widened to contain 0, which must be exact because convolutions pad maps with it.</summary>
    /// <param name="minimum">Smallest number of the range.</param>
    /// <param name="maximum">Largest number of the range.</param>
    /// <returns>The parameters; a range of zeros only has scale 1.</returns>
    /// <exception cref="ArgumentException">A bound is not finite, <paramref name="minimum"/> is above <paramref name="maximum"/>, or the range is so small or large that its scale is not a normal number.</exception>
    public static QuantizationParameters FromRange(float minimum, float maximum)
    {
        if (!float.IsFinite(minimum) || !float.IsFinite(maximum) || minimum > maximum)
            throw new ArgumentException(FormattableString.Invariant($"The range {minimum} to {maximum} cannot be quantized: its bounds must be finite numbers in ascending order."), nameof(minimum));
        minimum = Math.Min(minimum, 0);
        maximum = Math.Max(maximum, 0);
        if (minimum == maximum)
            return new QuantizationParameters(1, 0);
        float scale = (maximum - minimum) / byte.MaxValue;
        if (!float.IsNormal(scale))
            throw new ArgumentException(FormattableString.Invariant($"The range {minimum} to {maximum} cannot be quantized: the difference of neighbouring values, {scale}, is not a normal 32-bit float."), nameof(minimum));
        return new QuantizationParameters(scale, (byte)Math.Clamp(MathF.Round(-minimum / scale), byte.MinValue, byte.MaxValue));
    }

    /// <summary>The byte of a number, rounded to the nearest and, at a tie, to the even one; numbers outside the range have the byte 0 or 255.</summary>
    /// <param name="value">The number.</param>
    /// <returns>The byte.</returns>
    public byte Quantize(float value) => (byte)Math.Clamp(MathF.Round(value / Scale) + ZeroPoint, byte.MinValue, byte.MaxValue);

    /// <summary>The number of a byte.</summary>
    /// <param name="value">The byte.</param>
    /// <returns>The number.</returns>
    public float Dequantize(byte value) => Scale * (value - ZeroPoint);
}

/// <summary>Weights and biases of a layer as integers: the real weight is the integer times the scale of its output channel.</summary>
/// <param name="Weights">The weights, -128 to 127, in the order of the floating-point weights: OIHW of a convolution, [outputs, inputs] of a linear layer.</param>
/// <param name="Scales">The scale of each output channel, more than 0.</param>
/// <param name="Biases">One bias for each output channel, in units of the scale of the layer's input times the scale of the channel.</param>
public sealed record QuantizedWeights(ImmutableArray<sbyte> Weights, ImmutableArray<float> Scales, ImmutableArray<int> Biases)
{
    /// <summary>Throws an <see cref="ArgumentException"/> if the scales do not suit the biases.</summary>
    /// <param name="name">Name of the layer for the message.</param>
    internal void Check(string name)
    {
        NetworkSource.Check(Scales.Length == Biases.Length, $"{name} has {Scales.Length} scales for {Biases.Length} output channels");
        foreach (var (channel, scale) in Scales.Index())
            NetworkSource.Check(scale > 0 && float.IsFinite(scale), FormattableString.Invariant($"the scale of output channel {channel} of {name} is {scale}, not a positive number"));
    }
}

/// <summary>How a network was quantized, and its accuracy before and afterwards, where it was measured. The choice of the calibrator can matter more than anything else.</summary>
/// <param name="Calibrator">Name of the calibrator.</param>
/// <param name="Images">Number of calibration images.</param>
public sealed record QuantizationDetails(string Calibrator, int Images)
{
    /// <summary>Number of images on which the accuracies were measured; 0 if they were not.</summary>
    public int TestImages { get; init; }

    /// <summary>Share of the test images that the network in floating point classifies correctly, 0 to 1.</summary>
    public double FloatAccuracy { get; init; }

    /// <summary>Share of the test images that the quantized network classifies correctly, 0 to 1.</summary>
    public double QuantizedAccuracy { get; init; }
}

/// <summary>One block of a <see cref="QuantizedNetwork"/>: either integers or, in <see cref="Float"/>, floating-point numbers.</summary>
public sealed record QuantizedBlock
{
    /// <summary>The block's shape.</summary>
    public required BlockSpec Shape { get; init; }

    /// <summary>The 3x3 convolution of integers; null if the block is computed in floating point.</summary>
    public QuantizedWeights? Convolution { get; init; }

    /// <summary>The weights of a block that is computed in floating point; null if it is one of integers.</summary>
    public DeployBlock? Float { get; init; }

    /// <summary>The first layer of the squeeze-and-excitation of a block of integers, which is computed in floating point; null without squeeze-and-excitation.</summary>
    public LinearWeights? Squeeze { get; init; }

    /// <summary>The second layer of the squeeze-and-excitation of a block of integers; null without squeeze-and-excitation.</summary>
    public LinearWeights? Excite { get; init; }

    /// <summary>
    /// How the result of the convolution of a block of integers with squeeze-and-excitation is stored, in front of the multiplication with the channel scales;
    /// null for other blocks.
    /// </summary>
    public QuantizationParameters? BeforeSqueeze { get; init; }

    /// <summary>How the block's output is stored; null if a block that is computed in floating point stores floating-point numbers.</summary>
    public QuantizationParameters? Output { get; init; }
}

/// <summary>
/// A RepVGG network in deploy form whose activations are bytes and whose weights are signed bytes, each output channel with its own scale. Blocks can be left in
/// floating point, and so can the classifier. The data is immutable.
/// </summary>
/// <remarks>
/// An integer convolution computes, for each output, acc = bias + sum of (x - input zero point) * weight, and stores
/// round(acc * (input scale * weight scale / output scale)) + output zero point, limited to 0 to 255; ties are rounded to even, and the product with the scales is
/// computed in 32-bit floats. The map of a layer is padded with the zero point. The ReLU is the limit 0, because the zero point after a ReLU is 0.
/// </remarks>
/// <param name="Architecture">The architecture of the network.</param>
/// <param name="ImageHeight">Input height in pixels.</param>
/// <param name="ImageWidth">Input width in pixels.</param>
/// <param name="Normalization">Applied to the input, per channel, before it is quantized.</param>
/// <param name="Blocks">The blocks in order.</param>
public sealed record QuantizedNetwork(
    RepVggArchitecture Architecture,
    int ImageHeight,
    int ImageWidth,
    Normalization Normalization,
    ImmutableArray<QuantizedBlock> Blocks)
{
    /// <summary>How the normalised input is stored; null if the first block is computed in floating point.</summary>
    public QuantizationParameters? Input { get; init; }

    /// <summary>How the pooled features are stored, which have their own range; null if the classifier is computed in floating point, or if there is none.</summary>
    public QuantizationParameters? Pooled { get; init; }

    /// <summary>The classifier of integers, whose sums are multiplied with the scales once and not quantized; null if it is computed in floating point.</summary>
    public QuantizedWeights? QuantizedClassifier { get; init; }

    /// <summary>The classifier that is computed in floating point; it has no outputs if there is none or if <see cref="QuantizedClassifier"/> is set.</summary>
    public required LinearWeights Classifier { get; init; }

    /// <summary>The kind of output.</summary>
    public NetworkOutput Output { get; init; } = NetworkOutput.Logits;

    /// <summary>How the network was quantized, and what that changed; null if it is unknown.</summary>
    public QuantizationDetails? Details { get; init; }

    /// <summary>Number of classes: length of the logits; 0 if the network returns features.</summary>
    public int Classes => QuantizedClassifier?.Biases.Length ?? Classifier.OutputFeatures;

    /// <summary>Whether a layer is computed in integers.</summary>
    internal bool HasIntegers => IntegerBlocks > 0 || QuantizedClassifier is not null;

    /// <summary>Number of blocks that are computed in integers.</summary>
    public int IntegerBlocks => Blocks.Count(block => block.Convolution is not null);

    /// <summary>Dimensions of the output for one image: [classes], [channels], or [channels, height, width].</summary>
    public ImmutableArray<int> OutputShape => Output switch
    {
        NetworkOutput.Logits => [Classes],
        NetworkOutput.PooledFeatures => [Blocks[^1].Shape.OutputChannels],
        _ => [Blocks[^1].Shape.OutputChannels, MapSide(ImageHeight), MapSide(ImageWidth)],
    };

    /// <summary>Returns the network in floating point whose weights and biases are the numbers that the integers stand for. Its activations are not rounded, so that its results differ from those of this network.</summary>
    /// <returns>The network.</returns>
    public DeployNetwork Dequantize()
    {
        float inputScale = Input?.Scale ?? 1;
        var blocks = ImmutableArray.CreateBuilder<DeployBlock>(Blocks.Length);
        foreach (var block in Blocks)
        {
            blocks.Add(block.Float ?? new DeployBlock(block.Shape, Weights(block.Convolution!), Biases(block.Convolution!, inputScale), block.Squeeze, block.Excite));
            inputScale = block.Output?.Scale ?? 1;
        }
        var classifier = QuantizedClassifier is { } integers
            ? new LinearWeights(integers.Weights.Length / integers.Biases.Length, integers.Biases.Length, Weights(integers), Biases(integers, Pooled!.Value.Scale))
            : Classifier;
        return new DeployNetwork(Architecture, ImageHeight, ImageWidth, Normalization, blocks.MoveToImmutable(), classifier) { Output = Output };

        static ImmutableArray<float> Weights(QuantizedWeights layer)
        {
            int filter = layer.Weights.Length / layer.Scales.Length;
            return [.. layer.Weights.Select((weight, i) => weight * layer.Scales[i / filter])];
        }

        static ImmutableArray<float> Biases(QuantizedWeights layer, float inputScale) => [.. layer.Biases.Select((bias, o) => (float)((double)bias * inputScale * layer.Scales[o]))];
    }

    /// <summary>Divides the logits by a temperature, more than 0.</summary>
    internal QuantizedNetwork WithTemperature(double temperature) => this with
    {
        Classifier = Classifier.DividedBy(temperature),
        // The integers of the biases are in units of the scales.
        QuantizedClassifier = QuantizedClassifier is { } integers ? integers with { Scales = [.. integers.Scales.Select(scale => (float)(scale / temperature))] } : null,
    };

    /// <summary>A network in floating point in this form: it has no integers.</summary>
    internal static QuantizedNetwork WithoutIntegers(DeployNetwork network) => new(
        network.Architecture, network.ImageHeight, network.ImageWidth, network.Normalization,
        [.. network.Blocks.Select(block => new QuantizedBlock { Shape = block.Shape, Float = block })])
    {
        Classifier = network.Classifier,
        Output = network.Output,
    };

    /// <summary>Describes the network: everything except the weights.</summary>
    /// <param name="classLabels">Names of the classes in the order of the logits, or null.</param>
    /// <exception cref="ArgumentException">The number of labels is not the number of classes.</exception>
    internal ModelDescription Describe(IReadOnlyList<string>? classLabels)
    {
        if (classLabels is not null && classLabels.Count != Classes)
            throw new ArgumentException($"{classLabels.Count} class labels were given for {Classes} classes.", nameof(classLabels));
        return new ModelDescription(Architecture, Classes, ImageHeight, ImageWidth, Normalization, classLabels is null ? [] : [.. classLabels]);
    }

    private int MapSide(int side) => Blocks.Aggregate(side, (size, block) => ConvolutionSize.OutputOfBlock(size, block.Shape.Stride));
}
