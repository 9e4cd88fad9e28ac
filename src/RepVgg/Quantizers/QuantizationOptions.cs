using System.Collections.Immutable;
using RepVgg.Architectures;
using RepVgg.Networks;

namespace RepVgg.Quantizers;

/// <summary>How the range of a quantized activation is chosen from its values on the calibration images.</summary>
/// <remarks>
/// All calibrators but <see cref="MinMax"/> use a histogram of 2048 bins between 0 and the largest value, and reduce the upper bound only, to an eighth of the largest value at most: the lower bound after a ReLU is
/// 0. The range of the network's input is always that of its values. The choice can change the accuracy by many points; which calibrator is
/// best depends on the network.
/// </remarks>
public enum Calibrator
{
    /// <summary>The smallest and the largest value.</summary>
    MinMax,

    /// <summary>The range that <see cref="QuantizationOptions.Percentile"/> percent of the values are in; larger values are limited to it.</summary>
    Percentile,

    /// <summary>
    /// The range with the least Kullback-Leibler divergence between the distributions of the values and of the quantized values: that of TensorRT, with as many levels as a byte has.
    /// (Migacz, "8-bit Inference with TensorRT", GTC 2017.)
    /// </summary>
    Entropy,

    /// <summary>The range with the least mean squared error of the quantized values.</summary>
    MeanSquaredError,
}

/// <summary>Options of <see cref="Quantization"/>.</summary>
public sealed record QuantizationOptions
{
    /// <summary>How the ranges of activations are chosen.</summary>
    public Calibrator Calibrator { get; init; } = Calibrator.MeanSquaredError;

    /// <summary>For <see cref="Calibrator.Percentile"/>: the percentage of the values that are not limited, more than 50 and at most 100.</summary>
    public double Percentile { get; init; } = 99.999;

    /// <summary>
    /// Whether weights are -64 to 64 instead of -127 to 127. Engines on processors without instructions for 8-bit dot products need it to be exact; this library's engine does not. The error of
    /// the weights doubles.
    /// </summary>
    public bool ReducedRange { get; init; }

    /// <summary>
    /// Whether the ranges of the channels of consecutive layers are made equal first, which does not change the function of the network. (Nagel et al., "Data-Free Quantization Through
    /// Weight Equalization and Bias Correction", ICCV 2019, section 4.1.) Weights have a scale per channel here, so that it rarely helps.
    /// </summary>
    public bool Equalization { get; init; }

    /// <summary>Whether the mean change of each output channel by the rounding of the weights is subtracted from its bias. (The same paper, section 4.2, with measured means.)</summary>
    public bool BiasCorrection { get; init; } = true;

    /// <summary>Names of the blocks that stay in floating point, such as <c>stage0</c> or <c>stage2.1</c>.</summary>
    public ImmutableArray<string> FloatBlocks { get; init; } = [];

    /// <summary>Whether the classifier is quantized, with its own range of the pooled features. In floating point it costs hardly any time.</summary>
    public bool QuantizeClassifier { get; init; }

    /// <summary>Maximum number of threads; 0 for all cores. The result does not depend on it.</summary>
    public int Threads { get; init; }

    internal int LargestWeight => ReducedRange ? 64 : sbyte.MaxValue;

    /// <summary>The quantized layers.</summary>
    internal QuantizedLayers Layers => new(FloatBlocks, QuantizeClassifier, LargestWeight);

    /// <summary>Checks the options for a network.</summary>
    /// <exception cref="ArgumentException">An option is invalid, or does not suit the architecture.</exception>
    internal void Check(RepVggArchitecture architecture)
    {
        if (!Enum.IsDefined(Calibrator))
            throw new ArgumentException($"The calibrator {(int)Calibrator} is not a value of Calibrator.");
        if (!(Percentile is > 50 and <= 100))
            throw new ArgumentException(FormattableString.Invariant($"The percentile is {Percentile}; it must be more than 50 and at most 100."));
        Layers.Check(architecture);
        if (!QuantizeClassifier && architecture.Blocks.All(block => FloatBlocks.Contains(block.Name)))
            throw new ArgumentException($"All blocks of {architecture.Name} and its classifier would stay in floating point, so that nothing is quantized. Leave blocks out of FloatBlocks.");
    }
}
