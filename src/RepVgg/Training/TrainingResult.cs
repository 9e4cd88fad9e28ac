using RepVgg.Formats;

namespace RepVgg.Training;

/// <summary>What a run gives.</summary>
/// <param name="Weights">The best weights by the validation set; without one, those after the last finished epoch. The network holds them too.</param>
/// <param name="BestEpoch">The epoch whose weights these are, from 1; 0 if the run was cancelled within its first epoch, and the weights are as far as it got.</param>
/// <param name="End">How the run ended.</param>
/// <param name="History">Every finished epoch, those before a resume included.</param>
/// <param name="ResumedAfterEpoch">The epoch after which this run took up from a checkpoint; 0 if it began afresh.</param>
public sealed record TrainingResult(
    StateDict Weights,
    int BestEpoch,
    TrainingEnd End,
    IReadOnlyList<EpochResult> History,
    int ResumedAfterEpoch);
