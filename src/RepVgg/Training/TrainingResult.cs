using RepVgg.Weights;

namespace RepVgg.Training;

/// <summary>The result of a training run.</summary>
/// <param name="Weights">The best weights by the validation set; without a validation set, those after the last finished epoch; or their average, see <see cref="Average"/>. They are also copied to the network.</param>
/// <param name="BestEpoch">The best epoch, from 1. It is 0 if the run was cancelled in its first epoch; the weights are then those at the time of cancellation.</param>
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
    /// <summary>The average of the best epochs; null without <see cref="TrainingOptions.AveragedCheckpoints"/>, and if the run did not end regularly or had one epoch.</summary>
    public CheckpointAverage? Average { get; init; }

    /// <summary>How training diverged; null unless <see cref="StopReason"/> is <see cref="StopReason.Diverged"/>.</summary>
    public TrainingDivergedException? Divergence { get; init; }
}

/// <summary>The average of the weights of several epochs.</summary>
/// <param name="Epochs">The epochs, the best first.</param>
/// <param name="ValidationLoss">Mean cross-entropy of the average over the whole validation set, in nats; null without a validation set.</param>
/// <param name="ValidationAccuracy">Share of the whole validation set that the average classifies correctly; null without a validation set.</param>
/// <param name="IsReturned">Whether the result has these weights; false if their metric is worse than that of the best epoch, whose weights are returned.</param>
internal sealed record CheckpointAverage(IReadOnlyList<int> Epochs, double? ValidationLoss, double? ValidationAccuracy, bool IsReturned);

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
