namespace RepVgg.Backends;

/// <summary>Parameters with common hyper-parameters.</summary>
/// <param name="Parameters">The parameters.</param>
/// <param name="WeightDecay">L2 factor added to the gradient, as PyTorch's SGD does: g += WeightDecay * w.</param>
/// <param name="LearningRateScale">Factor of the learning rate for this group.</param>
public sealed record ParameterGroup(IReadOnlyList<Tensor> Parameters, float WeightDecay, float LearningRateScale = 1f);
