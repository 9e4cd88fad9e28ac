using System.Collections.Immutable;

namespace RepVgg.Architectures;

/// <summary>The shape of one RepVGG block.</summary>
/// <param name="Name">Prefix of the names of the block's weights, e.g. <c>stage1.0</c>.</param>
/// <param name="InputChannels">Number of input channels.</param>
/// <param name="OutputChannels">Number of output channels.</param>
/// <param name="Stride">Stride of the block, 1 or 2.</param>
/// <param name="Groups">Number of groups of the convolutions.</param>
/// <param name="SqueezeExcitation">Position of the squeeze-and-excitation, or None.</param>
public sealed record BlockSpec(string Name, int InputChannels, int OutputChannels, int Stride, int Groups, SqueezeExcitation SqueezeExcitation)
{
    /// <summary>The training form of the block.</summary>
    public TrainingForm Form { get; init; }

    /// <summary>Whether the input and the output of the block have the same shape, so that it can have an identity branch.</summary>
    public bool HasIdentity => InputChannels == OutputChannels && Stride == 1;

    /// <summary>The branches that the training form of the block sums.</summary>
    public ImmutableArray<BranchSpec> Branches => TrainingForms.BranchesOf(Form, HasIdentity);

    /// <summary>Prefix of the names of the squeeze-and-excitation's weights; null if there is none.</summary>
    public string? SqueezeExcitationName => SqueezeExcitation switch
    {
        SqueezeExcitation.BeforeRelu => $"{Name}.se",
        SqueezeExcitation.AfterRelu => $"{Name}.post_se",
        _ => null,
    };

    /// <summary>Reduced width of the squeeze-and-excitation: output channels / 16 before the ReLU, output channels / 4 after it; 0 if there is none.</summary>
    public int SqueezeWidth => SqueezeExcitation switch
    {
        SqueezeExcitation.BeforeRelu => OutputChannels / 16,
        SqueezeExcitation.AfterRelu => OutputChannels / 4,
        _ => 0,
    };
}
