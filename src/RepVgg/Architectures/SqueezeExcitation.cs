namespace RepVgg.Architectures;

/// <summary>Where a block's squeeze-and-excitation stands.</summary>
public enum SqueezeExcitation
{
    /// <summary>There is none.</summary>
    None,

    /// <summary>Between the sum of the branches and the ReLU (RepVGG-D2se; reduction 16). Weights are named <c>se.down</c>, <c>se.up</c>.</summary>
    BeforeRelu,

    /// <summary>After the ReLU (RepVGGplus; reduction 4). Weights are named <c>post_se.down</c>, <c>post_se.up</c>.</summary>
    AfterRelu,
}
