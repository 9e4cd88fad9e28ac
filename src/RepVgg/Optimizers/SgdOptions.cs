namespace RepVgg.Optimizers;

/// <summary>Stochastic gradient descent as in PyTorch's torch.optim.SGD with dampening 0. A run that gives none has a peak learning rate of 0.1 and a weight decay of 1e-4.</summary>
/// <remarks>
/// g = gradient + weight decay * w; v = momentum * v + g, where v is 0 at first; w -= learning rate * v, or with Nesterov's
/// method w -= learning rate * (g + momentum * v).
/// </remarks>
/// <param name="Momentum">Factor of the previous update; 0 or more and less than 1.</param>
/// <param name="Nesterov">Whether Nesterov's method is used, which needs a momentum above 0.</param>
public sealed record SgdOptions(float Momentum = 0.9f, bool Nesterov = false) : OptimizerOptions
{
    /// <summary>Name of the slot of v.</summary>
    internal const string MomentumBuffer = "momentum_buffer";

    internal override float DefaultLearningRate => 0.1f;

    internal override float DefaultWeightDecay => 1e-4f;

    internal override string Name => "SGD";

    internal override IReadOnlyList<string> Slots => Momentum == 0 ? [] : [MomentumBuffer];

    internal override void Validate()
    {
        Require(Momentum is >= 0 and < 1, nameof(Momentum), Momentum, "0 or more and less than 1");
        Require(!Nesterov || Momentum > 0, nameof(Nesterov), Nesterov, "false when Momentum is 0");
    }
}
