using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Optimizers;
using RepVgg.Runtime.Memory;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>What the optimizers of the CPU backend share: the memory of the slots, and the clipping of gradients.</summary>
internal abstract unsafe class CpuOptimizer : Optimizer
{
    private readonly string[] _slots;
    private readonly Entry[] _entries;
    private readonly double[] _squareSums = [];

    private protected CpuOptimizer(CpuContext context, IReadOnlyList<ParameterGroup> groups, OptimizerOptions options, float? gradientClipNorm)
        : base(groups, options, gradientClipNorm)
    {
        Context = context;
        _slots = [.. options.Slots];
        _entries = [.. groups.SelectMany(group => group.Parameters.Select((item, i) => new Entry((CpuTensor)item.Tensor, group, i, _slots.Length)))];
        if (gradientClipNorm is not null && _entries.Length > 0)
            _squareSums = new double[_entries.Max(entry => Elementwise.Blocks(entry.Parameter.Count))];
    }

    private protected CpuContext Context { get; }

    private protected override void StepCore(float learningRate)
    {
        float gradientFactor = GradientClipNorm is { } norm ? ClipFactor(norm) : 1;
        foreach (var (index, entry) in _entries.Index())
        {
            if (entry.Parameter.HasGradient)
                Update(index, entry, learningRate * entry.LearningRateScale, gradientFactor);
        }
        GC.KeepAlive(this);
    }

    /// <summary>Updates a parameter that has a gradient.</summary>
    /// <param name="index">Index of the parameter, in group order.</param>
    /// <param name="entry">The parameter and its slots.</param>
    /// <param name="rate">The learning rate of its group.</param>
    /// <param name="gradientFactor">Factor of the gradient; less than 1 if gradients are clipped.</param>
    private protected abstract void Update(int index, Entry entry, float rate, float gradientFactor);

    private protected override void ReadSlot(string slot, int parameter, Span<float> values)
    {
        new ReadOnlySpan<float>(Pointer(slot, parameter), values.Length).CopyTo(values);
        GC.KeepAlive(this);
    }

    private protected override void WriteSlot(string slot, int parameter, ReadOnlySpan<float> values)
    {
        values.CopyTo(new Span<float>(Pointer(slot, parameter), values.Length));
        GC.KeepAlive(this);
    }

    private protected override void DisposeCore()
    {
        foreach (var entry in _entries)
            entry.Dispose();
    }

    private float* Pointer(string slot, int parameter) =>
        slot == MultiplierSlot ? _entries[parameter].Multiplier : _entries[parameter].Slot(Array.IndexOf(_slots, slot));

    /// <summary>Computes the factor of all gradients that clips their L2 norm. The sums of blocks are added in their order, so that the result does not depend on the number of threads.</summary>
    private float ClipFactor(float maximumNorm)
    {
        double sum = 0;
        foreach (var entry in _entries)
        {
            if (!entry.Parameter.HasGradient)
                continue;
            float* gradient = entry.Parameter.Gradient;
            Elementwise.Run(Context.Loop, entry.Parameter.Count, (start, count) => _squareSums[start / Elementwise.Block] = Elementwise.SquareSum(gradient + start, count));
            for (int block = 0; block < Elementwise.Blocks(entry.Parameter.Count); block++)
                sum += _squareSums[block];
        }
        return (float)Math.Min(1, maximumNorm / (Math.Sqrt(sum) + GradientClipEpsilon));
    }

    /// <summary>A parameter with its slots and gradient multipliers.</summary>
    private protected sealed class Entry : IDisposable
    {
        private readonly NativeBuffer[] _slots;
        private readonly NativeBuffer? _multiplier;

        public Entry(CpuTensor parameter, ParameterGroup group, int indexInGroup, int slots)
        {
            (Parameter, WeightDecay, LearningRateScale) = (parameter, group.WeightDecay, group.LearningRateScale);
            _slots = [.. Enumerable.Range(0, slots).Select(_ => new NativeBuffer(parameter.Count))];
            if (group.GradientMultipliers is { } multipliers)
            {
                _multiplier = new NativeBuffer(parameter.Count);
                multipliers[indexInGroup].Values.CopyTo(new Span<float>(_multiplier.Pointer, (int)parameter.Count));
            }
        }

        public CpuTensor Parameter { get; }

        public float WeightDecay { get; }

        public float LearningRateScale { get; }

        /// <summary>The gradient multipliers; null if there are none.</summary>
        public float* Multiplier => _multiplier is null ? null : _multiplier.Pointer;

        /// <summary>Gets the values of a slot by its index in <see cref="OptimizerOptions.Slots"/>.</summary>
        public float* Slot(int index) => _slots[index].Pointer;

        public void Dispose()
        {
            foreach (var slot in _slots)
                slot.Dispose();
            _multiplier?.Dispose();
        }
    }
}
