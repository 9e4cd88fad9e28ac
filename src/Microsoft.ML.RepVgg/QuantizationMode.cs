namespace Microsoft.ML.RepVgg;

/// <summary>Whether a classifier is quantized to 8-bit integers, and when.</summary>
public enum QuantizationMode
{
    /// <summary>It is in floating point.</summary>
    None,

    /// <summary>After training: the ranges of the activations are measured on some of the training images.</summary>
    PostTraining,

    /// <summary>
    /// In training: every step rounds the equivalent kernels and the activations as the quantized network will, so that the weights become suitable for it. Best for fine-tuning a trained network in a few
    /// epochs; see <see cref="TrainingPreset.QuantizationAware"/>. Training forms whose blocks have branches of several layers cannot be trained in this way.
    /// </summary>
    Aware,
}
