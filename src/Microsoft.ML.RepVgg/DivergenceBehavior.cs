using RepVgg.Training;

namespace Microsoft.ML.RepVgg;

/// <summary>What happens when training diverges.</summary>
public enum DivergenceBehavior
{
    /// <summary>Fit throws <see cref="TrainingDivergedException"/>.</summary>
    Throw,

    /// <summary>Fit returns the best model of the epochs before, and a warning in the log states the reason. It throws <see cref="TrainingDivergedException"/> if no epoch has completed.</summary>
    ReturnBest,
}
