namespace RepVgg.Architectures;

/// <summary>The linear map at the start of a branch.</summary>
public enum BranchKind
{
    /// <summary>A convolution without bias, with the stride and the groups of the block.</summary>
    Convolution,

    /// <summary>The input of the block itself.</summary>
    Identity,
}

/// <summary>One linear branch of a block in its training form. A block is the sum of its branches.</summary>
/// <remarks>
/// The input of a convolution is padded by half the kernel's size, so that all branches are centred on the same pixel.
/// Everything that depends on the form of a block is driven by this description: the training network, the names and shapes
/// of its weights, initialisation, weight decay, fusion and TorchSharp modules.
/// </remarks>
/// <param name="Kind">The linear map.</param>
/// <param name="KernelHeight">Height of the kernel: 1 or 3; 1 for the identity.</param>
/// <param name="KernelWidth">Width of the kernel: 1 or 3; 1 for the identity.</param>
/// <param name="KernelName">Name of the kernel's module within the block, e.g. <c>rbr_dense.conv</c>; null for the identity.</param>
/// <param name="NormName">Name of the batch norm's module within the block, e.g. <c>rbr_dense.bn</c>; null without a batch norm.</param>
/// <param name="Scale">Constant factor of the branch.</param>
public sealed record BranchSpec(BranchKind Kind, int KernelHeight, int KernelWidth, string? KernelName, string? NormName, float Scale = 1)
{
    /// <summary>Whether weight decay applies to the weight of the branch's batch norm: true for the identity, as in the RepVGG authors' training code.</summary>
    internal bool DecaysNormWeight => Kind == BranchKind.Identity;

    /// <summary>Describes a convolution followed by a batch norm, with the modules <c>name.conv</c> and <c>name.bn</c>.</summary>
    /// <param name="name">Name of the branch within the block, e.g. <c>rbr_dense</c>.</param>
    /// <param name="size">Height and width of the kernel, 1 or 3.</param>
    internal static BranchSpec ConvolutionAndNorm(string name, int size) => new(BranchKind.Convolution, size, size, $"{name}.conv", $"{name}.bn");

    /// <summary>Describes the identity followed by a batch norm.</summary>
    /// <param name="name">Name of the batch norm within the block, e.g. <c>rbr_identity</c>.</param>
    internal static BranchSpec IdentityAndNorm(string name) => new(BranchKind.Identity, 1, 1, null, name);
}
