namespace RepVgg.Architectures;

/// <summary>The main layer of a branch, without its batch norm.</summary>
internal enum BranchKind
{
    /// <summary>A convolution without bias, with the stride and the groups of the block.</summary>
    Convolution,

    /// <summary>The input of the block itself.</summary>
    Identity,

    /// <summary>
    /// A 1x1 convolution with the constant kernel D of DiracNet and the block's stride and groups: in each group, output channel k reads input
    /// channel k with weight 1; output channels that have no input channel of that number are 0.
    /// </summary>
    Delta,

    /// <summary>The average over 3x3 pixels, with the block's stride; zeros of the padding are counted.</summary>
    Average,
}

/// <summary>One branch of a block in its training form. A block is the sum of its branches.</summary>
/// <remarks>
/// The input of a convolution is padded by half the kernel's size, so that all branches are centred on the same pixel.
/// Everything that depends on the form of a block is driven by this description: the training network, the names and shapes
/// of its weights, initialisation, weight decay, fusion and TorchSharp modules.
/// </remarks>
/// <param name="Kind">The main layer.</param>
/// <param name="KernelHeight">Height of the kernel: 1 or 3; 1 for the identity.</param>
/// <param name="KernelWidth">Width of the kernel: 1 or 3; 1 for the identity.</param>
/// <param name="KernelName">Name of the kernel's module within the block, e.g. <c>rbr_dense.conv</c>; null for branches without a trained kernel.</param>
/// <param name="NormName">Name of the batch norm's module within the block, e.g. <c>rbr_dense.bn</c>; null without a batch norm.</param>
internal sealed record BranchSpec(BranchKind Kind, int KernelHeight, int KernelWidth, string? KernelName, string? NormName)
{
    /// <summary>The smallest divisor of a normalised filter, as in PyTorch's <c>normalize</c>. A filter of a smaller L2 norm is divided by this constant.</summary>
    public const double SmallestFilterNorm = 1e-12;

    /// <summary>The layer before the main layer; null for none.</summary>
    public FirstLayerSpec? First { get; init; }

    /// <summary>The factor per output channel; null for none.</summary>
    public ScaleSpec? Scale { get; init; }

    /// <summary>Whether every filter is divided by its L2 norm, at least <see cref="SmallestFilterNorm"/>, as in DiracNet.</summary>
    public bool NormalizesFilters { get; init; }

    /// <summary>Whether a ReLU follows the batch norm, so that the branch is not linear.</summary>
    public bool Relu { get; init; }

    /// <summary>Whether weight decay applies to the weight of the branch's batch norm, as in the RepVGG authors' training code to that of the identity.</summary>
    public bool DecaysNormWeight { get; init; }

    /// <summary>Whether the branch is one convolution or the identity, with at most a batch norm and a factor.</summary>
    public bool IsSingleLayer => First is null && Kind != BranchKind.Average && !Relu;

    /// <summary>Describes a convolution.</summary>
    /// <param name="size">Height and width of the kernel, 1 or 3.</param>
    /// <param name="kernel">Name of the kernel's module.</param>
    /// <param name="norm">Name of the batch norm's module; null without a batch norm.</param>
    public static BranchSpec Convolution(int size, string kernel, string? norm = null) => new(BranchKind.Convolution, size, size, kernel, norm);

    /// <summary>Describes a convolution followed by a batch norm, with the modules <c>name.conv</c> and <c>name.bn</c>.</summary>
    /// <param name="name">Name of the branch within the block, e.g. <c>rbr_dense</c>.</param>
    /// <param name="size">Height and width of the kernel, 1 or 3.</param>
    public static BranchSpec ConvolutionAndNorm(string name, int size) => Convolution(size, $"{name}.conv", $"{name}.bn");

    /// <summary>Describes the identity.</summary>
    /// <param name="norm">Name of the batch norm's module, e.g. <c>rbr_identity</c>; null without a batch norm.</param>
    public static BranchSpec Identity(string? norm = null) => new(BranchKind.Identity, 1, 1, null, norm);

    /// <summary>Describes the constant kernel D.</summary>
    public static BranchSpec Delta() => new(BranchKind.Delta, 1, 1, null, null);

    /// <summary>Describes an average over 3x3 pixels followed by a batch norm.</summary>
    /// <param name="norm">Name of the batch norm's module.</param>
    public static BranchSpec Average(string norm) => new(BranchKind.Average, 3, 3, null, norm);
}

/// <summary>A convolution with a batch norm before the main layer of a branch. It has the groups of the block.</summary>
/// <param name="Size">Height and width of the kernel, 1 or 3.</param>
/// <param name="KernelName">Name of the kernel's module within the block.</param>
/// <param name="NormName">Name of the batch norm's module within the block.</param>
/// <param name="Channels">Number of output channels, which are the input channels of the main layer.</param>
internal sealed record FirstLayerSpec(int Size, string KernelName, string NormName, int Channels)
{
    /// <summary>Whether the input is added to the convolution, whose kernel is 0 at first.</summary>
    public bool AddsInput { get; init; }

    /// <summary>Whether a ReLU follows and the layer has the block's stride instead of the main layer. The main layer's input is then padded with zeros.</summary>
    /// <remarks>
    /// Without ReLU, the main layer's input is padded with what the batch norm makes of zeros, so that the two layers are the same as one
    /// convolution whose input is padded with zeros. Source: Diverse Branch Block, section 3.2.
    /// </remarks>
    public bool Relu { get; init; }
}

/// <summary>A factor per output channel.</summary>
/// <param name="Name">Name of the tensor within the block, e.g. <c>scale_conv.weight</c>.</param>
/// <param name="Initial">Initial value of all channels.</param>
internal sealed record ScaleSpec(string Name, float Initial)
{
    /// <summary>Whether the factors are trained.</summary>
    public bool IsTrained { get; init; } = true;

    /// <summary>Whether weight decay applies to the factors.</summary>
    public bool HasWeightDecay { get; init; }
}
