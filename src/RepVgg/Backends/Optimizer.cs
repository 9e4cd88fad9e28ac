using RepVgg.Weights;

namespace RepVgg.Backends;

/// <summary>Updates parameters from the gradients that <see cref="Backend.Backward"/> computed. Created by <see cref="Backend.CreateOptimizer"/>.</summary>
/// <remarks>
/// A parameter that was not used in the last backward pass is not updated, like one whose gradient is None in PyTorch. The
/// state of an optimizer consists of slots: named tensors that it stores for every parameter, such as <c>momentum_buffer</c>
/// of SGD. A slot has the shape of its parameter.
/// </remarks>
internal abstract class Optimizer : IDisposable
{
    private readonly IReadOnlyList<string> _slots;
    private readonly (string Name, Tensor Tensor)[] _parameters;

    private protected Optimizer(IReadOnlyList<ParameterGroup> groups, OptimizerOptions options)
    {
        _slots = options.Slots;
        _parameters = [.. groups.SelectMany(group => group.Parameters)];
    }

    /// <summary>Updates every parameter once.</summary>
    /// <param name="learningRate">Learning rate of the step. It is multiplied by the <see cref="ParameterGroup.LearningRateScale"/> of each group.</param>
    public abstract void Step(float learningRate);

    /// <summary>Copies the state of the optimizer, for checkpoints.</summary>
    /// <returns>One tensor per slot and parameter, named slot/parameter, e.g. <c>momentum_buffer/stage0.rbr_dense.conv.weight</c>. Zeros stand for a slot that no step has written yet.</returns>
    public StateDict ExportState()
    {
        var state = new StateDict();
        foreach (string slot in _slots)
        {
            for (int i = 0; i < _parameters.Length; i++)
            {
                var copy = TensorData.Zeros([.. _parameters[i].Tensor.Shape]);
                ReadSlot(slot, i, copy.Values);
                state[NameOf(slot, i)] = copy;
            }
        }
        return state;
    }

    /// <summary>Restores a state returned by <see cref="ExportState"/>.</summary>
    /// <param name="state">The state of an optimizer with the same options and parameters.</param>
    /// <exception cref="ArgumentException">Tensors are missing or surplus, or have another shape. The message names the first one, and the optimizer is not changed.</exception>
    public void ImportState(StateDict state)
    {
        ArgumentNullException.ThrowIfNull(state);
        foreach (string slot in _slots)
        {
            for (int i = 0; i < _parameters.Length; i++)
            {
                string name = NameOf(slot, i);
                if (!state.TryGet(name, out var tensor))
                    throw new ArgumentException($"The state of the optimizer has no tensor '{name}'.", nameof(state));
                if (!tensor.Shape.SequenceEqual(_parameters[i].Tensor.Shape))
                    throw new ArgumentException($"'{name}' of the optimizer's state is {tensor}; its parameter is [{string.Join(", ", _parameters[i].Tensor.Shape)}].", nameof(state));
            }
        }
        if (state.Count != _slots.Count * _parameters.Length)
        {
            var known = _slots.SelectMany(slot => _parameters.Select((_, i) => NameOf(slot, i))).ToHashSet(StringComparer.Ordinal);
            throw new ArgumentException($"The optimizer has no state '{state.Names.First(name => !known.Contains(name))}'.", nameof(state));
        }
        foreach (string slot in _slots)
        {
            for (int i = 0; i < _parameters.Length; i++)
                WriteSlot(slot, i, state[NameOf(slot, i)].Values);
        }
    }

    /// <inheritdoc/>
    public abstract void Dispose();

    /// <summary>Copies a slot of the parameter with a given index, in group order, to <paramref name="values"/>.</summary>
    private protected abstract void ReadSlot(string slot, int parameter, Span<float> values);

    /// <summary>Overwrites a slot of the parameter with a given index, in group order.</summary>
    private protected abstract void WriteSlot(string slot, int parameter, ReadOnlySpan<float> values);

    private string NameOf(string slot, int parameter) => $"{slot}/{_parameters[parameter].Name}";
}

/// <summary>Parameters with common hyperparameters.</summary>
/// <param name="Parameters">The parameters and their names, which must be unique in an optimizer; see <c>TrainingNetwork.Parameters</c>.</param>
/// <param name="WeightDecay">L2 factor added to the gradient, as PyTorch's SGD does: g += WeightDecay * w.</param>
/// <param name="LearningRateScale">Factor of the learning rate for this group.</param>
internal sealed record ParameterGroup(IReadOnlyList<(string Name, Tensor Tensor)> Parameters, float WeightDecay, float LearningRateScale = 1f);
