namespace Microsoft.ML.RepVgg;

/// <summary>What becomes of a stage's map of features.</summary>
public enum FeaturePooling
{
    /// <summary>The mean of every channel over height and width: one value per channel.</summary>
    GlobalAverage,

    /// <summary>The map itself: channels x height x width values.</summary>
    None,
}
