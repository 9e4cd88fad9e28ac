namespace RepVgg.Training;

/// <summary>The reason why a run ended.</summary>
public enum StopReason
{
    /// <summary>All epochs were trained.</summary>
    Completed,

    /// <summary>The run was ended by <see cref="EarlyStoppingCriteria"/>.</summary>
    EarlyStopped,

    /// <summary>The run was cancelled; the weights are the best so far.</summary>
    Cancelled,
}
