using RepVgg.Weights;

namespace RepVgg.Backends;

/// <summary>Updates parameters from the gradients that <see cref="Backend.Backward"/> computed.</summary>
public abstract class Optimizer : IDisposable
{
    /// <summary>Updates every parameter once.</summary>
    /// <param name="learningRate">Learning rate of the step. It is multiplied by the <see cref="ParameterGroup.LearningRateScale"/> of each group.</param>
    public abstract void Step(float learningRate);

    /// <summary>Copies the state of the optimizer (momentum buffers), one tensor per parameter in group order; for checkpoints.</summary>
    public abstract IReadOnlyList<TensorData> ExportState();

    /// <summary>Restores a state returned by <see cref="ExportState"/>.</summary>
    public abstract void ImportState(IReadOnlyList<TensorData> state);

    /// <inheritdoc/>
    public abstract void Dispose();
}
