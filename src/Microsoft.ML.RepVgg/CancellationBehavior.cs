namespace Microsoft.ML.RepVgg;

/// <summary>What happens when training is cancelled through <see cref="RepVggTrainer.Options.CancellationToken"/>.</summary>
public enum CancellationBehavior
{
    /// <summary>Fit throws <see cref="OperationCanceledException"/>.</summary>
    Throw,

    /// <summary>Fit returns the best model so far. Before the first epoch has ended there is none, and it throws.</summary>
    ReturnBest,
}
