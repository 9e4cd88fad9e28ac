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

    /// <summary>Distance of the taps of the 3x3 kernels in pixels: more than 1 in a network whose <see cref="RepVggArchitecture.OutputStride"/> is less than the product of its strides.</summary>
    public int Dilation { get; init; } = 1;

    /// <summary>Rows of zeros above the input of a 3x3 convolution: 1, or 0 as in TensorFlow; see <see cref="StageSpec.PaddingTop"/>.</summary>
    public int PaddingTop { get; init; } = 1;

    /// <summary>Columns of zeros to the left of the input of a 3x3 convolution: 1, or 0 as in TensorFlow; see <see cref="StageSpec.PaddingLeft"/>.</summary>
    public int PaddingLeft { get; init; } = 1;

    /// <summary>Whether the block is designed with stride 2 and has stride 1, because the architecture dilates its stage. Its branches are those of the block with stride 2.</summary>
    internal bool LosesStride { get; init; }

    /// <summary>Whether the block has an identity branch in forms that have one: its input and output have the same shape in the network that has all strides.</summary>
    public bool HasIdentity => InputChannels == OutputChannels && Stride == 1 && !LosesStride;

    /// <summary>How the convolutions of the block move over its input.</summary>
    internal BlockGeometry Geometry => new(Stride, Groups, Dilation, PaddingTop, PaddingLeft);

    /// <summary>Index of the block in its stage, from 0.</summary>
    internal int IndexInStage { get; init; }

    /// <summary>Number of 3x3 layers of the block in training: 2 for blocks of <see cref="TrainingForm.ResidualReorg"/>, otherwise 1.</summary>
    internal int Layers { get; init; } = 1;

    /// <summary>Number of 3x3 convolutions of a block of <see cref="TrainingForm.MobileOne"/>.</summary>
    internal int ConvolutionBranches { get; init; } = 1;

    /// <summary>The branches that the training form of the block sums.</summary>
    internal ImmutableArray<BranchSpec> Branches => TrainingForms.BranchesOf(this);

    /// <summary>Prefix of the names of the squeeze-and-excitation's weights; null if there is none.</summary>
    public string? SqueezeExcitationName => SqueezeExcitation switch
    {
        SqueezeExcitation.BeforeRelu => $"{Name}.se",
        SqueezeExcitation.AfterRelu => $"{Name}.post_se",
        _ => null,
    };

    /// <summary>Name of the first layer of the squeeze-and-excitation in the training form, e.g. <c>stage1.0.se.down</c>.</summary>
    internal string SqueezeLayer => $"{SqueezeExcitationName}.{(Form == TrainingForm.MobileOne ? "reduce" : "down")}";

    /// <summary>Name of the second layer of the squeeze-and-excitation in the training form, e.g. <c>stage1.0.se.up</c>.</summary>
    internal string ExciteLayer => $"{SqueezeExcitationName}.{(Form == TrainingForm.MobileOne ? "expand" : "up")}";

    /// <summary>Reduced width of the squeeze-and-excitation: output channels / 16 before the ReLU, output channels / 4 after it; 0 if there is none.</summary>
    public int SqueezeWidth => SqueezeExcitation switch
    {
        SqueezeExcitation.BeforeRelu => OutputChannels / 16,
        SqueezeExcitation.AfterRelu => OutputChannels / 4,
        _ => 0,
    };
}
