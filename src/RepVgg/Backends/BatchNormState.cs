namespace RepVgg.Backends;

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
    public bool Frozen { get; init; }
}
