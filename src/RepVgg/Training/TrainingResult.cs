using RepVgg.Weights;

namespace RepVgg.Training;

/// <summary>The result of a training run.</summary>
/// <param name="Weights">The best weights by the validation set; without a validation set, those after the last finished epoch. They are also copied to the network.</param>
/// <param name="BestEpoch">The epoch of these weights, from 1. It is 0 if the run was cancelled in its first epoch; the weights are then those at the time of cancellation.</param>
/// <param name="StopReason">Why the run ended.</param>
/// <param name="History">Results of all finished epochs, including those before the run was resumed.</param>
/// <param name="ResumedAfterEpoch">The epoch after which the run was resumed from a checkpoint; 0 if it was not resumed.</param>
internal sealed record TrainingResult(
    StateDict Weights,
    int BestEpoch,
    StopReason StopReason,
    IReadOnlyList<EpochResult> History,
    int ResumedAfterEpoch)
{
    /// <summary>How training diverged; null unless <see cref="StopReason"/> is <see cref="StopReason.Diverged"/>.</summary>
    public TrainingDivergedException? Divergence { get; init; }
}

/// <summary>The reason why a run ended.</summary>
public enum StopReason
{
    /// <summary>All epochs were trained.</summary>
    Completed,

    /// <summary>The run was ended by <see cref="EarlyStoppingCriteria"/>.</summary>
    EarlyStopped,

    /// <summary>The run was cancelled; the weights are the best so far.</summary>
    Cancelled,

    /// <summary>Training diverged; the weights are the best of the epochs before.</summary>
    Diverged,
}
