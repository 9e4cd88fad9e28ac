namespace RepVgg.Architectures;

/// <summary>The position of squeeze-and-excitation in a block.</summary>
public enum SqueezeExcitation
{
    /// <summary>The block has no squeeze-and-excitation.</summary>
    None,

    /// <summary>Between the sum of the branches and the ReLU (RepVGG-D2se; reduction 16). Weights are named <c>se.down</c>, <c>se.up</c>.</summary>
    BeforeRelu,

    /// <summary>After the ReLU (RepVGGplus; reduction 4). Weights are named <c>post_se.down</c>, <c>post_se.up</c>.</summary>
    AfterRelu,
}
