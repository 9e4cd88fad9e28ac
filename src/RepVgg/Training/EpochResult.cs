using System.Text.Json.Serialization;

namespace RepVgg.Training;

/// <summary>Metrics and times of one epoch.</summary>
/// <param name="Epoch">The epoch, from 1.</param>
/// <param name="LearningRate">Learning rate of the last step of the epoch.</param>
/// <param name="TrainingLoss">Mean cross-entropy over the training images during training, with augmentation and label smoothing, in nats.</param>
/// <param name="TrainingAccuracy">Share of the training images that were classified correctly during training.</param>
/// <param name="ValidationLoss">Mean cross-entropy over the whole validation set, in nats; null without a validation set.</param>
/// <param name="ValidationAccuracy">Share of the whole validation set that is classified correctly; null without a validation set.</param>
public sealed record EpochResult(
    int Epoch,
    float LearningRate,
    double TrainingLoss,
    double TrainingAccuracy,
    double? ValidationLoss,
    double? ValidationAccuracy)
{
    /// <summary>
    /// Share of the whole validation set whose class is among the five most probable ones. Null without a validation set, with at most five classes, where it would always be 1, or if the
    /// result comes from a checkpoint of an earlier version that does not store it.
    /// </summary>
    public double? ValidationTop5Accuracy { get; init; }

    /// <summary>Number of images of the training pass; 0 if the result comes from a checkpoint of an earlier version that does not store it.</summary>
    public int TrainingImages { get; init; }

    /// <summary>Wall-clock time of the training pass; zero if the result comes from a checkpoint of an earlier version that does not store it.</summary>
    /// <remarks>
    /// Measured from before the first batch is read until the last step is done. It includes reading and augmenting images,
    /// training steps, and the progress callback except the call after the last step. Validation, copying the weights and
    /// writing a checkpoint are not included.
    /// </remarks>
    public TimeSpan TrainingTime { get; init; }

    /// <summary>Wall-clock time of the validation pass, measured as <see cref="TrainingTime"/> is; zero without a validation set.</summary>
    public TimeSpan ValidationTime { get; init; }

    /// <summary>Training images per second: <see cref="TrainingImages"/> / <see cref="TrainingTime"/>; NaN if both are zero (not known).</summary>
    [JsonIgnore]
    public double TrainingImagesPerSecond => TrainingImages / TrainingTime.TotalSeconds;
}
