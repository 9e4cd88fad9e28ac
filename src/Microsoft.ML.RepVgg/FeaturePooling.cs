namespace Microsoft.ML.RepVgg;

/// <summary>Specifies how the feature map of a stage is pooled.</summary>
public enum FeaturePooling
{
    /// <summary>Global average pooling: the mean of each channel over height and width, one value per channel.</summary>
    GlobalAverage,

    /// <summary>No pooling: the feature map itself, channels x height x width values (CHW).</summary>
    None,
}
