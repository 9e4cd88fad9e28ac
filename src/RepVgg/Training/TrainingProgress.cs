using System.Text.Json.Serialization;

namespace RepVgg.Training;

/// <summary>Where a run stands; reported after every batch.</summary>
public sealed record TrainingProgress
{
    /// <summary>The epoch that is under way, from 1.</summary>
    public required int Epoch { get; init; }

    /// <summary>Epochs of the run.</summary>
    public required int Epochs { get; init; }

    /// <summary>Batches done in this pass.</summary>
    public required int Step { get; init; }

    /// <summary>Batches that the pass has.</summary>
    public required int Steps { get; init; }

    /// <summary>Whether the pass is the one over the validation set.</summary>
    public required bool IsValidation { get; init; }

    /// <summary>Mean loss of the pass so far, in nats; weighted by images. In training with label smoothing, in validation without.</summary>
    public required double Loss { get; init; }

    /// <summary>Share of correct images of the pass so far.</summary>
    public required double Accuracy { get; init; }

    /// <summary>Learning rate of the latest training step.</summary>
    public required float LearningRate { get; init; }

    /// <summary>Images per second of the pass so far: a validation pass, which has no backward pass, is several times as fast as training.</summary>
    /// <remarks>The training speed of an epoch is <see cref="EpochResult.TrainingImagesPerSecond"/>.</remarks>
    public required double ImagesPerSecond { get; init; }

    /// <summary>Time since the run (or its resumed part) began.</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>Estimated time to the end of the last epoch.</summary>
    public required TimeSpan Remaining { get; init; }

    /// <summary>The epoch's figures, in its last report; null before.</summary>
    public EpochResult? EpochResult { get; init; }
}

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
