using System.Text.Json.Serialization;

namespace RepVgg.Training;

/// <summary>What one epoch came to.</summary>
/// <param name="Epoch">From 1.</param>
/// <param name="LearningRate">Learning rate of its last step.</param>
/// <param name="TrainingLoss">Mean loss over the training images as they were trained on (augmented, smoothed labels), in nats.</param>
/// <param name="TrainingAccuracy">Share of those images that were classified correctly.</param>
/// <param name="ValidationLoss">Mean cross-entropy over the whole validation set, in nats; null without one.</param>
/// <param name="ValidationAccuracy">Share of the whole validation set that is classified correctly; null without one.</param>
public sealed record EpochResult(
    int Epoch,
    float LearningRate,
    double TrainingLoss,
    double TrainingAccuracy,
    double? ValidationLoss,
    double? ValidationAccuracy)
{
    /// <summary>Images of the training pass; 0 where a checkpoint of an earlier version does not say.</summary>
    public int TrainingImages { get; init; }

    /// <summary>Wall-clock time of the training pass; zero where a checkpoint of an earlier version does not say.</summary>
    /// <remarks>
    /// From before the first batch is read until the last step is done: reading and augmenting images, training steps and the
    /// caller's progress reports between them. Validation, copying the weights and writing a checkpoint are not included.
    /// </remarks>
    public TimeSpan TrainingTime { get; init; }

    /// <summary>Wall-clock time of the validation pass, measured as <see cref="TrainingTime"/> is; zero without a validation set.</summary>
    public TimeSpan ValidationTime { get; init; }

    /// <summary>Training images per second: <see cref="TrainingImages"/> / <see cref="TrainingTime"/>; NaN where these are not known.</summary>
    [JsonIgnore]
    public double TrainingImagesPerSecond => TrainingImages / TrainingTime.TotalSeconds;
}
