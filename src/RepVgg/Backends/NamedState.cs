using RepVgg.Weights;

namespace RepVgg.Backends;

/// <summary>Copies tensors that belong to a training state, such as momentum buffers, to and from a dictionary by their names.</summary>
/// <param name="what">Name of the state for messages, e.g. "optimizer".</param>
/// <param name="entries">Name and shape of every tensor.</param>
internal sealed class NamedState(string what, IReadOnlyList<(string Name, IReadOnlyList<int> Shape)> entries)
{
    /// <summary>Copies the values of the tensor with a given index.</summary>
    public delegate void Reader(int index, Span<float> values);

    /// <summary>Overwrites the tensor with a given index.</summary>
    public delegate void Writer(int index, ReadOnlySpan<float> values);

    /// <summary>Copies all tensors.</summary>
    public StateDict Export(Reader read)
    {
        var state = new StateDict();
        foreach (var (index, (name, shape)) in entries.Index())
        {
            var copy = TensorData.Zeros([.. shape]);
            read(index, copy.Values);
            state[name] = copy;
        }
        return state;
    }

    /// <summary>Overwrites all tensors.</summary>
    /// <exception cref="ArgumentException">Tensors are missing or surplus, or have another shape. The message names the first one, and nothing is overwritten.</exception>
    public void Import(StateDict state, Writer write)
    {
        ArgumentNullException.ThrowIfNull(state);
        foreach (var (name, shape) in entries)
        {
            if (!state.TryGet(name, out var tensor))
                throw new ArgumentException($"The state of the {what} has no tensor '{name}'.", nameof(state));
            if (!tensor.Shape.SequenceEqual(shape))
                throw new ArgumentException($"'{name}' of the {what}'s state has the shape {tensor}, not [{string.Join(", ", shape)}].", nameof(state));
        }
        if (state.Count != entries.Count)
        {
            var known = entries.Select(entry => entry.Name).ToHashSet(StringComparer.Ordinal);
            throw new ArgumentException($"The {what} has no tensor '{state.Names.First(name => !known.Contains(name))}'.", nameof(state));
        }
        foreach (var (index, (name, _)) in entries.Index())
            write(index, state[name].Values);
    }
}
