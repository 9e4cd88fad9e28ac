using RepVgg.Weights;

namespace RepVgg.Backends;

/// <summary>Parameters with common hyperparameters.</summary>
/// <param name="Parameters">The parameters and their names, which must be unique in an optimizer; see <c>TrainingNetwork.Parameters</c>.</param>
/// <param name="WeightDecay">Weight decay. SGD adds it to the gradient, g += WeightDecay * w; AdamW multiplies the weights by 1 - learning rate * WeightDecay.</param>
/// <param name="LearningRateScale">Factor of the learning rate for this group.</param>
internal sealed record ParameterGroup(IReadOnlyList<(string Name, Tensor Tensor)> Parameters, float WeightDecay, float LearningRateScale = 1f)
{
    /// <summary>Constant factors of the gradients, one tensor per parameter in the parameter's shape, all finite and 0 or more; null for none.</summary>
    /// <remarks>
    /// The gradient multipliers of RepOptimizer (Ding et al., "Re-parameterizing Your Optimizers rather than Architectures", ICLR 2023). SGD
    /// multiplies the gradient, before it adds the weight decay; AdamW multiplies the gradient and the update.
    /// </remarks>
    public IReadOnlyList<TensorData>? GradientMultipliers { get; init; }

    /// <summary>Checks the number, shapes and values of the gradient multipliers.</summary>
    /// <exception cref="ArgumentException">They do not fit the parameters; the message names the first one.</exception>
    public void CheckMultipliers(string argument)
    {
        if (GradientMultipliers is not { } multipliers)
            return;
        if (multipliers.Count != Parameters.Count)
            throw new ArgumentException($"A group of {Parameters.Count} parameters has {multipliers.Count} gradient multipliers; it must have one for each parameter.", argument);
        foreach (var ((name, tensor), multiplier) in Parameters.Zip(multipliers))
        {
            if (!multiplier.Shape.SequenceEqual(tensor.Shape))
                throw new ArgumentException($"The gradient multipliers of '{name}' have the shape {multiplier}, but the parameter has [{string.Join(", ", tensor.Shape)}].", argument);
            CheckMultiplier($"The tensor of gradient multipliers of '{name}'", multiplier, argument);
        }
    }

    /// <summary>Checks that gradient multipliers are finite and 0 or more.</summary>
    /// <exception cref="ArgumentException">They are not.</exception>
    public static void CheckMultiplier(string what, TensorData multiplier, string argument)
    {
        foreach (var (index, value) in multiplier.Values.Index())
        {
            if (!(value >= 0) || !float.IsFinite(value))
                throw new ArgumentException(FormattableString.Invariant($"{what} has the value {value} at index {index}; gradient multipliers must be finite and 0 or more."), argument);
        }
    }
}
