using RepVgg.Optimizers;
using RepVgg.Weights;

namespace RepVgg.Backends;

/// <summary>Updates parameters from the gradients that <see cref="Backend.Backward"/> computed. Created by <see cref="Backend.CreateOptimizer"/>.</summary>
/// <remarks>
/// A parameter that was not used in the last backward pass is not updated, like one whose gradient is None in PyTorch. The
/// state of an optimizer consists of slots: named tensors that it stores for every parameter, such as <c>momentum_buffer</c>
/// of SGD. A slot has the shape of its parameter, except <c>step</c>, the number of updates, which is a scalar. The slot
/// <c>multiplier</c> has the gradient multipliers, for the parameters that have them.
/// </remarks>
internal abstract class Optimizer : IDisposable
{
    /// <summary>Name of the slot of the gradient multipliers.</summary>
    internal const string MultiplierSlot = "multiplier";

    /// <summary>Value that is added to the norm of the gradients, as torch.nn.utils.clip_grad_norm_ does.</summary>
    private protected const double GradientClipEpsilon = 1e-6;

    private const string StepSlot = "step";

    private readonly Slot[] _slots;
    private readonly NamedState _state;
    private readonly float[] _steps;
    private bool _disposed;

    private protected Optimizer(IReadOnlyList<ParameterGroup> groups, OptimizerOptions options, float? gradientClipNorm)
    {
        GradientClipNorm = gradientClipNorm;
        (string Name, IReadOnlyList<int> Shape, bool IsMultiplied)[] parameters =
            [.. groups.SelectMany(group => group.Parameters.Select(item => (item.Name, item.Tensor.Shape, group.GradientMultipliers is not null)))];
        _steps = new float[parameters.Length];
        string[] names = [.. options.Slots, .. options.CountsSteps ? [StepSlot] : Array.Empty<string>(), MultiplierSlot];
        _slots =
        [
            .. names.SelectMany(name => parameters.Index()
                .Where(parameter => name != MultiplierSlot || parameter.Item.IsMultiplied)
                .Select(parameter => new Slot(name, parameter.Index, parameter.Item.Name, name == StepSlot ? [] : parameter.Item.Shape))),
        ];
        _state = new NamedState("optimizer", [.. _slots.Select(slot => (slot.FullName, slot.Shape))]);
    }

    /// <summary>Maximum L2 norm of all gradients together; null for none.</summary>
    private protected float? GradientClipNorm { get; }

    /// <summary>Numbers of updates of the parameters, in group order, which optimizers increment whose options count steps.</summary>
    private protected Span<float> Steps => _steps;

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
        return _state.Export((index, values) =>
        {
            var slot = _slots[index];
            if (slot.Name == StepSlot)
                values[0] = _steps[slot.Parameter];
            else
                ReadSlot(slot.Name, slot.Parameter, values);
        });
    }

    /// <summary>Restores a state returned by <see cref="ExportState"/>, with its gradient multipliers.</summary>
    /// <param name="state">The state of an optimizer with the same options and parameters.</param>
    /// <exception cref="ArgumentException">Tensors are missing or surplus, have another shape, or are no numbers of steps or gradient multipliers. The message names the first one, and the optimizer is not changed.</exception>
    public void ImportState(StateDict state)
    {
        ArgumentNullException.ThrowIfNull(state);
        ObjectDisposedException.ThrowIf(_disposed, this);
        CheckMultipliers(state);
        foreach (var slot in _slots.Where(slot => slot.Name == StepSlot))
        {
            if (state.TryGet(slot.FullName, out var steps) && steps.Values is [var value] && !(value >= 0 && float.IsInteger(value)))
                throw new ArgumentException(FormattableString.Invariant($"'{slot.FullName}' of the optimizer's state is {value}; it must be a number of steps."), nameof(state));
        }
        _state.Import(state, (index, values) =>
        {
            var slot = _slots[index];
            if (slot.Name == StepSlot)
                _steps[slot.Parameter] = values[0];
            else
                WriteSlot(slot.Name, slot.Parameter, values);
        });
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

    /// <summary>Checks that a state has gradient multipliers for the parameters that have them here, and for no others.</summary>
    private void CheckMultipliers(StateDict state)
    {
        var own = _slots.Where(slot => slot.Name == MultiplierSlot).Select(slot => slot.FullName).ToHashSet(StringComparer.Ordinal);
        string[] given = [.. state.Names.Where(name => name.StartsWith($"{MultiplierSlot}/", StringComparison.Ordinal))];
        if (given.FirstOrDefault(name => !own.Contains(name)) is { } surplus)
            throw new ArgumentException($"The state has gradient multipliers, '{surplus}', which this optimizer does not use for that parameter: it is the state of another optimizer.", nameof(state));
        if (own.FirstOrDefault(name => !given.Contains(name, StringComparer.Ordinal)) is { } missing)
            throw new ArgumentException($"The state has no gradient multipliers '{missing}', which this optimizer needs: it is the state of another optimizer.", nameof(state));
        foreach (string name in given)
            ParameterGroup.CheckMultiplier($"'{name}' of the optimizer's state", state[name], nameof(state));
    }

    /// <summary>A slot of one parameter: the slot's name, the index of the parameter in group order, its name, and the shape of the slot.</summary>
    private sealed record Slot(string Name, int Parameter, string ParameterName, IReadOnlyList<int> Shape)
    {
        public string FullName { get; } = $"{Name}/{ParameterName}";
    }
}
