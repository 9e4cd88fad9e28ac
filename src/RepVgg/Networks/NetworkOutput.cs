namespace RepVgg.Networks;

/// <summary>The kind of output of a deploy network.</summary>
public enum NetworkOutput
{
    /// <summary>The classifier's logits, [classes].</summary>
    Logits,

    /// <summary>The mean of the last block's map over height and width, [channels].</summary>
    PooledFeatures,

    /// <summary>The last block's map, [channels, height, width].</summary>
    FeatureMap,
}
