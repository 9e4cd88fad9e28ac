using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Runtime.Memory;
using RepVgg.Weights;

namespace RepVgg.Backends.Cpu;

/// <summary>Stochastic gradient descent as torch.optim.SGD computes it (dampening 0; the first momentum buffer is the first gradient).</summary>
/// <remarks>A parameter that was not used in the last backward pass is not updated, like one whose gradient is None in PyTorch.</remarks>
internal sealed unsafe class SgdOptimizer : Optimizer
{
    private readonly CpuBackend _backend;
    private readonly float _momentum;
    private readonly bool _nesterov;
    private readonly List<Entry> _entries = [];

    public SgdOptimizer(CpuBackend backend, IReadOnlyList<ParameterGroup> groups, float momentum, bool nesterov)
    {
        if (!(momentum >= 0))
            throw new ArgumentOutOfRangeException(nameof(momentum), momentum, "Momentum must not be negative.");
        if (nesterov && momentum == 0)
            throw new ArgumentException("Nesterov's method needs a momentum above 0.", nameof(nesterov));
        _backend = backend;
        _momentum = momentum;
        _nesterov = nesterov;
        foreach (var group in groups)
        {
            foreach (var tensor in group.Parameters)
            {
                var parameter = backend.Own(tensor);
                if (parameter.Role != TensorRole.Parameter)
                    throw new ArgumentException("Only parameters can be trained.", nameof(groups));
                var buffer = momentum == 0 ? null : new NativeBuffer(parameter.Count);
                _entries.Add(new Entry(parameter, group, buffer));
            }
        }
    }

    public override void Step(float learningRate)
    {
        foreach (var entry in _entries)
        {
            var parameter = entry.Parameter;
            if (!parameter.HasGradient)
                continue;
            float* weight = parameter.Data;
            float* gradient = parameter.Gradient;
            float* buffer = entry.Buffer is null ? null : entry.Buffer.Pointer;
            float rate = learningRate * entry.Group.LearningRateScale;
            bool first = !entry.Started;
            entry.Started = true;
            Elementwise.Run(_backend.Loop, parameter.Count, (start, count) => Elementwise.SgdStep(
                weight + start, gradient + start, buffer is null ? null : buffer + start, count, rate, entry.Group.WeightDecay, _momentum, _nesterov, first));
        }
    }

    public override IReadOnlyList<TensorData> ExportState() =>
        [.. _entries.Select(entry => new TensorData([.. entry.Parameter.Shape], entry.Buffer is null
            ? new float[entry.Parameter.Count]
            : new ReadOnlySpan<float>(entry.Buffer.Pointer, (int)entry.Parameter.Count).ToArray()))];

    public override void ImportState(IReadOnlyList<TensorData> state)
    {
        if (state.Count != _entries.Count)
            throw new ArgumentException($"The optimizer has {_entries.Count} parameters, but the state has {state.Count} tensors.", nameof(state));
        for (int i = 0; i < state.Count; i++)
        {
            if (state[i].Values.Length != _entries[i].Parameter.Count)
                throw new ArgumentException($"Tensor {i} of the state has {state[i].Values.Length} values; its parameter has {_entries[i].Parameter.Count}.", nameof(state));
        }
        for (int i = 0; i < state.Count; i++)
        {
            if (_entries[i].Buffer is { } buffer)
                state[i].Values.AsSpan().CopyTo(new Span<float>(buffer.Pointer, state[i].Values.Length));
            _entries[i].Started = true;
        }
    }

    public override void Dispose()
    {
        foreach (var entry in _entries)
            entry.Buffer?.Dispose();
        _entries.Clear();
    }

    private sealed class Entry(CpuTensor parameter, ParameterGroup group, NativeBuffer? buffer)
    {
        public CpuTensor Parameter { get; } = parameter;

        public ParameterGroup Group { get; } = group;

        public NativeBuffer? Buffer { get; } = buffer;

        public bool Started { get; set; }
    }
}
