namespace RepVgg.Networks;

/// <summary>What a deploy network gives for an image.</summary>
public enum NetworkOutput
{
    /// <summary>The classifier's logits, [classes].</summary>
    Logits,

    /// <summary>The mean of the last block's map over height and width, [channels].</summary>
    PooledFeatures,

    /// <summary>The last block's map, [channels, height, width].</summary>
    FeatureMap,
}
