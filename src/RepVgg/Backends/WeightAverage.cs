using RepVgg.Formats;

namespace RepVgg.Backends;

/// <summary>The exponential moving average of tensors that training changes. It starts as their values at its making.</summary>
public abstract class WeightAverage : IDisposable
{
    /// <summary>average = decay * average + (1 - decay) * tensor.</summary>
    /// <param name="decay">Share of the average that stays, 0 to 1.</param>
    public abstract void Update(float decay);

    /// <summary>Exchanges the averages with the tensors' values; a second call undoes it.</summary>
    public abstract void Swap();

    /// <summary>The averages, in the order of the tensors; for checkpoints.</summary>
    /// <returns>Copies.</returns>
    public abstract IReadOnlyList<TensorData> ExportState();

    /// <summary>Restores what <see cref="ExportState"/> gave.</summary>
    /// <param name="state">One tensor per averaged tensor.</param>
    /// <exception cref="ArgumentException">The number of tensors or their sizes differ.</exception>
    public abstract void ImportState(IReadOnlyList<TensorData> state);

    /// <summary>Releases the averages; the tensors stay.</summary>
    public abstract void Dispose();

    /// <summary>Compares a state with what is averaged.</summary>
    /// <param name="state">What <see cref="ImportState"/> was given.</param>
    /// <param name="tensors">What is averaged.</param>
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
