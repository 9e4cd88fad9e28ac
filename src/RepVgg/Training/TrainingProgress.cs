namespace RepVgg.Training;

/// <summary>Progress of a training run, reported after every batch.</summary>
/// <remarks>
/// <see cref="Loss"/>, <see cref="Accuracy"/> and <see cref="ImagesPerSecond"/> include only the batches whose totals have been
/// read from the device: after every <see cref="Backends.Backend.StepsBetweenReads"/> batches and after the last batch of a
/// pass. They are 0 before the first read of a pass.
/// </remarks>
public sealed record TrainingProgress
{
    /// <summary>The current epoch, from 1.</summary>
    public required int Epoch { get; init; }

    /// <summary>Number of epochs of the run.</summary>
    public required int Epochs { get; init; }

    /// <summary>Number of batches of the current pass that are done.</summary>
    public required int Step { get; init; }

    /// <summary>Number of batches of the current pass.</summary>
    public required int Steps { get; init; }

    /// <summary>Whether the current pass is the validation pass.</summary>
    public required bool IsValidation { get; init; }

    /// <summary>Mean loss per image of the pass so far, in nats. Label smoothing is applied in training and not in validation.</summary>
    public required double Loss { get; init; }

    /// <summary>Mean intersection over union of the classes on the images of the pass so far, 0 to 1; null for classification.</summary>
    public double? MeanIoU { get; init; }

    /// <summary>Share of correctly classified images of the pass so far; for segmentation, of their labelled pixels.</summary>
    public required double Accuracy { get; init; }

    /// <summary>Learning rate of the latest training step.</summary>
    public required float LearningRate { get; init; }

    /// <summary>Images per second of the current pass so far. A validation pass has no backward pass and is therefore several times as fast as a training pass.</summary>
    /// <remarks>The training speed of an epoch is <see cref="EpochResult.TrainingImagesPerSecond"/>.</remarks>
    public required double ImagesPerSecond { get; init; }

    /// <summary>Time since the run was started or resumed.</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>Estimated time to the end of the last epoch.</summary>
    public required TimeSpan Remaining { get; init; }

    /// <summary>Result of the epoch in the last report of the epoch; null in all other reports.</summary>
    public EpochResult? EpochResult { get; init; }
}
