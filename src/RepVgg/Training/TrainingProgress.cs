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
