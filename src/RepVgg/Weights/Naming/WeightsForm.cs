namespace RepVgg.Weights.Naming;

/// <summary>The two forms of a RepVGG's weights.</summary>
public enum WeightsForm
{
    /// <summary>Branches with batch norms.</summary>
    Training,

    /// <summary>One convolution with bias per block.</summary>
    Deploy,
}
