using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Optimizers;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Stochastic gradient descent; see <see cref="SgdOptions"/>.</summary>
internal sealed unsafe class SgdOptimizer(CpuContext context, IReadOnlyList<ParameterGroup> groups, SgdOptions options, float? gradientClipNorm)
    : CpuOptimizer(context, groups, options, gradientClipNorm)
{
    private protected override void Update(int index, Entry entry, float rate, float gradientFactor)
    {
        float* weight = entry.Parameter.Data;
        float* gradient = entry.Parameter.Gradient;
        float* multiplier = entry.Multiplier;
        float* buffer = options.Momentum == 0 ? null : entry.Slot(0);
        Elementwise.Run(Context.Loop, entry.Parameter.Count, (start, count) => Elementwise.SgdStep(
            weight + start, gradient + start, multiplier is null ? null : multiplier + start, buffer is null ? null : buffer + start, count,
            gradientFactor, rate, entry.WeightDecay, options.Momentum, options.Nesterov));
    }
}
