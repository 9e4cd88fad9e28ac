using RepVgg.Weights;

namespace RepVgg.Backends;

/// <summary>
/// The exponential moving average of tensors that are changed by training. The initial averages are the values of the
/// tensors when this object is created.
/// </summary>
public abstract class WeightAverage : IDisposable
{
    /// <summary>Updates the averages: average = decay * average + (1 - decay) * tensor.</summary>
    /// <param name="decay">Weight of the previous average, 0 to 1.</param>
    public abstract void Update(float decay);

    /// <summary>Exchanges the averages and the values of the tensors; a second call restores both.</summary>
    public abstract void Swap();

    /// <summary>Copies the averages, in the order of the tensors; for checkpoints.</summary>
    /// <returns>Copies of the averages.</returns>
    public abstract IReadOnlyList<TensorData> ExportState();

    /// <summary>Restores a state returned by <see cref="ExportState"/>.</summary>
    /// <param name="state">One tensor per averaged tensor.</param>
    /// <exception cref="ArgumentException">The number of tensors or their shapes differ.</exception>
    public abstract void ImportState(IReadOnlyList<TensorData> state);

    /// <summary>Releases the averages; the tensors are not released.</summary>
    public abstract void Dispose();

    /// <summary>Checks that a state has the number and the shapes of the averaged tensors.</summary>
    /// <param name="state">The state passed to <see cref="ImportState"/>.</param>
    /// <param name="tensors">The averaged tensors.</param>
    protected static void CheckState(IReadOnlyList<TensorData> state, IReadOnlyList<Tensor> tensors)
    {
        ArgumentNullException.ThrowIfNull(state);
        ArgumentNullException.ThrowIfNull(tensors);
        if (state.Count != tensors.Count)
            throw new ArgumentException($"{tensors.Count} tensors are averaged, but the state has {state.Count}.", nameof(state));
        for (int i = 0; i < state.Count; i++)
        {
            if (!state[i].Shape.SequenceEqual(tensors[i].Shape))
                throw new ArgumentException($"Tensor {i} of the state is {state[i]}, not [{string.Join(", ", tensors[i].Shape)}].", nameof(state));
        }
    }
}
