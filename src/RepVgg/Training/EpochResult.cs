using System.Text.Json.Serialization;

namespace RepVgg.Training;

/// <summary>Metrics and times of one epoch.</summary>
/// <param name="Epoch">The epoch, from 1.</param>
/// <param name="LearningRate">Learning rate of the last step of the epoch.</param>
/// <param name="TrainingLoss">Mean cross-entropy over the training images during training, with augmentation and label smoothing, in nats.</param>
/// <param name="TrainingAccuracy">Share of the training images that were classified correctly during training; for segmentation, of their labelled pixels.</param>
/// <param name="ValidationLoss">Mean cross-entropy over the whole validation set, in nats; null without a validation set.</param>
/// <param name="ValidationAccuracy">Share of the whole validation set that is classified correctly; for segmentation, of its labelled pixels; null without a validation set.</param>
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

    /// <summary>Mean intersection over union of the classes on the training images during training, with augmentation, 0 to 1; null for classification.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? TrainingMeanIoU { get; init; }

    /// <summary>Mean intersection over union of the classes on the whole validation set, 0 to 1; null for classification, and without a validation set.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? ValidationMeanIoU { get; init; }

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

    /// <summary>The value of a metric, by which epochs are compared: higher is better.</summary>
    /// <param name="metric">The metric.</param>
    /// <param name="ofTraining">True for the value on the training set, false for that on the validation set.</param>
    /// <exception cref="InvalidOperationException">The result does not have the metric.</exception>
    internal double Score(TrainingMetric metric, bool ofTraining = false) => metric switch
    {
        TrainingMetric.Accuracy => ofTraining ? TrainingAccuracy : ValidationAccuracy,
        TrainingMetric.Loss => -(ofTraining ? TrainingLoss : ValidationLoss),
        _ => ofTraining ? TrainingMeanIoU : ValidationMeanIoU,
    } ?? throw new InvalidOperationException($"Epoch {Epoch} has no {metric}.");
}
