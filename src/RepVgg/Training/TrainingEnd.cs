namespace RepVgg.Training;

/// <summary>The reason why a run ended.</summary>
public enum TrainingEnd
{
    /// <summary>All epochs were trained.</summary>
    Completed,

    /// <summary>The run was ended by <see cref="EarlyStopping"/>.</summary>
    EarlyStopped,

    /// <summary>The run was cancelled; the weights are the best so far.</summary>
    Cancelled,
}
