namespace RepVgg.Backends;

/// <summary>Weight, bias and running statistics of one batch normalisation.</summary>
/// <param name="Weight">Parameter gamma, [C].</param>
/// <param name="Bias">Parameter beta, [C].</param>
/// <param name="RunningMean">Buffer, [C].</param>
/// <param name="RunningVariance">Buffer, [C]; unbiased variance, as PyTorch keeps it.</param>
/// <param name="Epsilon">Added to the variance before the root; 1e-5 unless the checkpoint says otherwise.</param>
/// <param name="Momentum">Share of the new batch in the running statistics; 0.1 in PyTorch.</param>
public sealed record BatchNormState(Tensor Weight, Tensor Bias, Tensor RunningMean, Tensor RunningVariance, float Epsilon = 1e-5f, float Momentum = 0.1f)
{
    /// <summary>True: the running statistics are used in training steps too, and stay as they are.</summary>
    public bool Frozen { get; init; }
}
