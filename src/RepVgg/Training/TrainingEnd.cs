namespace RepVgg.Training;

/// <summary>How a run ended.</summary>
public enum TrainingEnd
{
    /// <summary>All epochs were trained.</summary>
    Completed,

    /// <summary>Early stopping ended it.</summary>
    EarlyStopped,

    /// <summary>It was cancelled; the weights are the best so far.</summary>
    Cancelled,
}
