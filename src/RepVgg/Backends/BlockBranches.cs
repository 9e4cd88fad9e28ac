namespace RepVgg.Backends;

/// <summary>The parameters of one RepVGG block's branches.</summary>
/// <param name="Kernel3x3">[O, I / groups, 3, 3].</param>
/// <param name="Norm3x3">Batch norm of the 3x3 branch.</param>
/// <param name="Kernel1x1">[O, I / groups, 1, 1].</param>
/// <param name="Norm1x1">Batch norm of the 1x1 branch.</param>
/// <param name="NormIdentity">Batch norm of the identity branch; null without one.</param>
public sealed record BlockBranches(Tensor Kernel3x3, BatchNormState Norm3x3, Tensor Kernel1x1, BatchNormState Norm1x1, BatchNormState? NormIdentity)
{
    /// <summary>Output channels.</summary>
    public int OutputChannels => Kernel3x3.Shape[0];

    /// <summary>Input channels of one group.</summary>
    public int GroupInputs => Kernel3x3.Shape[1];

    /// <summary>The batch norms in the order 3x3, 1x1, identity.</summary>
    internal IEnumerable<BatchNormState> Norms => NormIdentity is null ? [Norm3x3, Norm1x1] : [Norm3x3, Norm1x1, NormIdentity];

    /// <summary>Checks that the shapes of the parameters are consistent.</summary>
    /// <exception cref="ArgumentException">The shapes are inconsistent; the message states them.</exception>
    internal void Validate()
    {
        if (Kernel3x3.Shape is not [var outputs, var inputs, 3, 3] || !Kernel1x1.Shape.SequenceEqual([outputs, inputs, 1, 1]))
            throw new ArgumentException($"A block needs kernels [O, I, 3, 3] and [O, I, 1, 1], not [{string.Join(", ", Kernel3x3.Shape)}] and [{string.Join(", ", Kernel1x1.Shape)}].");
        foreach (var norm in Norms)
        {
            foreach (var tensor in (ReadOnlySpan<Tensor>)[norm.Weight, norm.Bias, norm.RunningMean, norm.RunningVariance])
            {
                if (!tensor.Shape.SequenceEqual([outputs]))
                    throw new ArgumentException($"A block of {outputs} outputs needs batch norms of {outputs} channels, not [{string.Join(", ", tensor.Shape)}].");
            }
        }
        if (NormIdentity is not null && outputs % inputs != 0)
            throw new ArgumentException($"An identity branch needs as many inputs as outputs, but groups of {inputs} inputs do not divide {outputs}.");
    }
}
