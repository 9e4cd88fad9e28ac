using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Optimizers;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>AdamW; see <see cref="AdamWOptions"/>.</summary>
internal sealed unsafe class AdamWOptimizer(CpuContext context, IReadOnlyList<ParameterGroup> groups, AdamWOptions options, float? gradientClipNorm)
    : CpuOptimizer(context, groups, options, gradientClipNorm)
{
    private protected override void Update(int index, Entry entry, float rate, float gradientFactor)
    {
        float* weight = entry.Parameter.Data;
        float* gradient = entry.Parameter.Gradient;
        float* multiplier = entry.Multiplier;
        float* average = entry.Slot(0);
        float* square = entry.Slot(1);
        var factors = options.Factors(rate, entry.WeightDecay, ++Steps[index]);
        Elementwise.Run(Context.Loop, entry.Parameter.Count, (start, count) => Elementwise.AdamWStep(
            weight + start, gradient + start, multiplier is null ? null : multiplier + start, average + start, square + start, count, gradientFactor, factors));
    }
}
