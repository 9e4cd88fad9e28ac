namespace Microsoft.ML.RepVgg;

/// <summary>What happens when training is cancelled through <see cref="RepVggTrainer.Options.CancellationToken"/>.</summary>
public enum CancellationBehavior
{
    /// <summary>Fit throws <see cref="OperationCanceledException"/>.</summary>
    Throw,

    /// <summary>Fit returns the best model so far. It throws <see cref="OperationCanceledException"/> if no epoch has completed.</summary>
    ReturnBest,
}
