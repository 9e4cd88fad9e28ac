namespace RepVgg.Backends;

/// <summary>The algorithm of an optimizer and its hyperparameters. Each optimizer is one derived record.</summary>
internal abstract record OptimizerOptions
{
    private protected OptimizerOptions()
    {
    }

    /// <summary>Names of the tensors that the optimizer stores for every parameter, as in PyTorch's state of an optimizer.</summary>
    internal abstract IReadOnlyList<string> Slots { get; }

    /// <summary>Throws an exception if a hyperparameter is out of range.</summary>
    /// <exception cref="ArgumentException">A hyperparameter is out of range; the message names it.</exception>
    internal abstract void Validate();
}

/// <summary>Stochastic gradient descent as in PyTorch's torch.optim.SGD with dampening 0.</summary>
/// <remarks>
/// g = gradient + weight decay * w; v = momentum * v + g, where v is 0 at first; w -= learning rate * v, or with Nesterov's
/// method w -= learning rate * (g + momentum * v).
/// </remarks>
/// <param name="Momentum">Factor of the previous update, at least 0.</param>
/// <param name="Nesterov">Whether Nesterov's method is used, which needs a momentum above 0.</param>
internal sealed record SgdOptions(float Momentum = 0.9f, bool Nesterov = false) : OptimizerOptions
{
    /// <summary>Name of the slot of v.</summary>
    internal const string MomentumBuffer = "momentum_buffer";

    internal override IReadOnlyList<string> Slots => Momentum == 0 ? [] : [MomentumBuffer];

    internal override void Validate()
    {
        if (!(Momentum >= 0) || !float.IsFinite(Momentum))
            throw new ArgumentException(FormattableString.Invariant($"Momentum is {Momentum}; it must be 0 or more."), nameof(Momentum));
        if (Nesterov && Momentum == 0)
            throw new ArgumentException("Nesterov's method needs a momentum above 0.", nameof(Nesterov));
    }
}
