using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Runtime.Memory;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Stochastic gradient descent; see <see cref="SgdOptions"/>.</summary>
internal sealed unsafe class SgdOptimizer : Optimizer
{
    private readonly CpuContext _context;
    private readonly SgdOptions _options;
    private readonly Entry[] _entries;

    public SgdOptimizer(CpuContext context, IReadOnlyList<ParameterGroup> groups, SgdOptions options)
        : base(groups, options)
    {
        (_context, _options) = (context, options);
        _entries = [.. groups.SelectMany(group => group.Parameters.Select(item => new Entry((CpuTensor)item.Tensor, group, options.Momentum > 0)))];
    }

    private protected override void StepCore(float learningRate)
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
            bool first = !entry.HasWrittenBuffer;
            entry.HasWrittenBuffer = true;
            Elementwise.Run(_context.Loop, parameter.Count, (start, count) => Elementwise.SgdStep(
                weight + start, gradient + start, buffer is null ? null : buffer + start, count, rate, entry.Group.WeightDecay, _options.Momentum, _options.Nesterov, first));
        }
        GC.KeepAlive(this);
    }

    private protected override void DisposeCore()
    {
        foreach (var entry in _entries)
            entry.Dispose();
    }

    private protected override void ReadSlot(string slot, int parameter, Span<float> values)
    {
        if (_entries[parameter].HasWrittenBuffer)
            new ReadOnlySpan<float>(_entries[parameter].Buffer!.Pointer, values.Length).CopyTo(values);
        else
            values.Clear();
        GC.KeepAlive(this);
    }

    private protected override void WriteSlot(string slot, int parameter, ReadOnlySpan<float> values)
    {
        values.CopyTo(new Span<float>(_entries[parameter].Buffer!.Pointer, values.Length));
        _entries[parameter].HasWrittenBuffer = true;
    }

    private sealed class Entry(CpuTensor parameter, ParameterGroup group, bool hasMomentum) : IDisposable
    {
        public CpuTensor Parameter { get; } = parameter;

        public ParameterGroup Group { get; } = group;

        /// <summary>The momentum buffer; null if the momentum is 0.</summary>
        public NativeBuffer? Buffer { get; private set; } = hasMomentum ? new NativeBuffer(parameter.Count) : null;

        /// <summary>Whether the momentum buffer was written. Before that, its values are undefined and count as zeros.</summary>
        public bool HasWrittenBuffer { get; set; }

        public void Dispose()
        {
            Buffer?.Dispose();
            Buffer = null;
        }
    }
}
