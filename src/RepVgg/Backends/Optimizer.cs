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
    private readonly int _parameters;
    private readonly NamedState _state;
    private bool _disposed;

    private protected Optimizer(IReadOnlyList<ParameterGroup> groups, OptimizerOptions options)
    {
        _slots = options.Slots;
        (string Name, Tensor Tensor)[] parameters = [.. groups.SelectMany(group => group.Parameters)];
        _parameters = parameters.Length;
        _state = new NamedState("optimizer", [.. _slots.SelectMany(slot => parameters.Select(parameter => ($"{slot}/{parameter.Name}", parameter.Tensor.Shape)))]);
    }

    /// <summary>Updates every parameter once.</summary>
    /// <param name="learningRate">Learning rate of the step. It is multiplied by the <see cref="ParameterGroup.LearningRateScale"/> of each group.</param>
    public void Step(float learningRate)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        StepCore(learningRate);
    }

    /// <summary>Copies the state of the optimizer, for checkpoints.</summary>
    /// <returns>One tensor per slot and parameter, named slot/parameter, e.g. <c>momentum_buffer/stage0.rbr_dense.conv.weight</c>. Zeros stand for a slot that no step has written yet.</returns>
    public StateDict ExportState()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        return _state.Export((index, values) => ReadSlot(_slots[index / _parameters], index % _parameters, values));
    }

    /// <summary>Restores a state returned by <see cref="ExportState"/>.</summary>
    /// <param name="state">The state of an optimizer with the same options and parameters.</param>
    /// <exception cref="ArgumentException">Tensors are missing or surplus, or have another shape. The message names the first one, and the optimizer is not changed.</exception>
    public void ImportState(StateDict state)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _state.Import(state, (index, values) => WriteSlot(_slots[index / _parameters], index % _parameters, values));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        DisposeCore();
        GC.SuppressFinalize(this);
    }

    /// <summary>Updates every parameter that has a gradient.</summary>
    private protected abstract void StepCore(float learningRate);

    /// <summary>Copies a slot of the parameter with a given index, in group order, to <paramref name="values"/>.</summary>
    private protected abstract void ReadSlot(string slot, int parameter, Span<float> values);

    /// <summary>Overwrites a slot of the parameter with a given index, in group order.</summary>
    private protected abstract void WriteSlot(string slot, int parameter, ReadOnlySpan<float> values);

    /// <summary>Releases the slots.</summary>
    private protected abstract void DisposeCore();
}

/// <summary>Parameters with common hyperparameters.</summary>
/// <param name="Parameters">The parameters and their names, which must be unique in an optimizer; see <c>TrainingNetwork.Parameters</c>.</param>
/// <param name="WeightDecay">L2 factor added to the gradient, as PyTorch's SGD does: g += WeightDecay * w.</param>
/// <param name="LearningRateScale">Factor of the learning rate for this group.</param>
internal sealed record ParameterGroup(IReadOnlyList<(string Name, Tensor Tensor)> Parameters, float WeightDecay, float LearningRateScale = 1f);
