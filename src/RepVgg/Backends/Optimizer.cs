using RepVgg.Formats;

namespace RepVgg.Backends;

/// <summary>Updates parameters from the gradients that <see cref="Backend.Backward"/> left.</summary>
public abstract class Optimizer : IDisposable
{
    /// <summary>One update of every parameter.</summary>
    /// <param name="learningRate">The step's learning rate, before each group's scale.</param>
    public abstract void Step(float learningRate);

    /// <summary>The optimizer's own state (momentum buffers), one tensor per parameter in group order; for checkpoints.</summary>
    public abstract IReadOnlyList<TensorData> ExportState();

    /// <summary>Restores what <see cref="ExportState"/> gave.</summary>
    public abstract void ImportState(IReadOnlyList<TensorData> state);

    /// <inheritdoc/>
    public abstract void Dispose();
}
