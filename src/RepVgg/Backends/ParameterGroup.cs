namespace RepVgg.Backends;

/// <summary>Parameters that share their hyper-parameters.</summary>
/// <param name="Parameters">The parameters.</param>
/// <param name="WeightDecay">L2 factor added to the gradient, as PyTorch's SGD does: g += WeightDecay * w.</param>
/// <param name="LearningRateScale">Multiplies the step's learning rate.</param>
public sealed record ParameterGroup(IReadOnlyList<Tensor> Parameters, float WeightDecay, float LearningRateScale = 1f);
