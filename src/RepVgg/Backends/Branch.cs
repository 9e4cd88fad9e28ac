namespace RepVgg.Backends;

/// <summary>The tensors of one linear branch of a block, which computes ChannelScale * Norm(conv(x)), or ChannelScale * Norm(x) if it has no kernel.</summary>
/// <remarks>The convolution has the stride and the groups of its block. Its input is padded by half the kernel's size, so that the kernels of all branches are centred on the same pixel.</remarks>
/// <param name="Kernel">[O, I / groups, height, width] with a height and a width of 1 or 3; null for the identity.</param>
/// <param name="Norm">The batch norm of the branch, O channels; null for none.</param>
internal sealed record Branch(Tensor? Kernel, BatchNormState? Norm = null)
{
    /// <summary>A parameter or buffer [O] by which the outputs of the branch are multiplied, channel by channel, after its batch norm; null for 1.</summary>
    internal Tensor? ChannelScale { get; init; }

    /// <summary>Whether each filter, the weights of one output, is divided by its L2 norm, which is limited to at least <see cref="Architectures.BranchSpec.SmallestFilterNorm"/>. Source: DiracNet.</summary>
    internal bool NormalizesFilters { get; init; }

    /// <summary>Whether the branch can only be computed as a part of an equivalent kernel.</summary>
    internal bool RequiresMerging => ChannelScale is not null || NormalizesFilters;

    /// <summary>Height of the kernel; 1 for the identity.</summary>
    internal int KernelHeight => Kernel?.Shape[2] ?? 1;

    /// <summary>Width of the kernel; 1 for the identity.</summary>
    internal int KernelWidth => Kernel?.Shape[3] ?? 1;
}

/// <summary>Weight, bias and running statistics of one batch normalisation.</summary>
/// <param name="Weight">Parameter gamma, [C].</param>
/// <param name="Bias">Parameter beta, [C].</param>
/// <param name="RunningMean">Buffer, [C].</param>
/// <param name="RunningVariance">Buffer, [C]; unbiased variance, as in PyTorch.</param>
/// <param name="Epsilon">Added to the variance before the square root; 1e-5 by default.</param>
/// <param name="Momentum">Weight of the new batch in the update of the running statistics; 0.1 by default, as in PyTorch.</param>
internal sealed record BatchNormState(Tensor Weight, Tensor Bias, Tensor RunningMean, Tensor RunningVariance, float Epsilon = 1e-5f, float Momentum = 0.1f)
{
    /// <summary>True if training steps use the running statistics too and do not update them.</summary>
    public bool Frozen { get; set; }
}

/// <summary>The range of an activation that is fake-quantized.</summary>
/// <param name="Bounds">Buffer, [2]: the smallest and the largest value, at most and at least 0. Both are 0 before the first training step, and of a map of zeros.</param>
/// <param name="Momentum">Weight of the new batch in the update of the bounds; 0.01 by default, as in PyTorch's moving average observers. The first batch has the weight 1.</param>
internal sealed record RangeState(Tensor Bounds, float Momentum = 0.01f)
{
    /// <summary>True if training steps do not update the bounds.</summary>
    public bool Frozen { get; set; }
}
