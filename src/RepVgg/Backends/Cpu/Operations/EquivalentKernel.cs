using RepVgg.Backends.Cpu.Execution;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The equivalent kernel of a block as a function of its parameters: the sum of the kernels of its branches, scaled by their batch norms and channel scales.</summary>
internal sealed unsafe class EquivalentKernel : CpuOperation
{
    private const int Taps = 9, Center = 4;

    private readonly BranchValues[] _branches;
    private readonly int _inputs;

    private EquivalentKernel(BranchValues[] branches, CpuTensor output)
        : base(output) => (_branches, _inputs) = (branches, output.C);

    public static CpuTensor Apply(CpuContext context, BranchValues[] branches)
    {
        var first = branches.First(branch => branch.Kernel is not null).Kernel!;
        int outputs = first.N, inputs = first.C;
        var result = context.CreateStepTensor([outputs, inputs, 3, 3], branches.Any(branch => branch.Kernel is { RequiresGradient: true } || branch.ScaleRequiresGradient), isKernel: true);
        float* to = result.Data;
        context.Run(outputs, (o, _) =>
        {
            double* scales = stackalloc double[branches.Length];
            for (int i = 0; i < branches.Length; i++)
                scales[i] = branches[i].ScaleOf(o) / branches[i].DivisorOf(o);
            double* sums = stackalloc double[Taps];
            for (int input = 0; input < inputs; input++)
            {
                new Span<double>(sums, Taps).Clear();
                for (int i = 0; i < branches.Length; i++)
                    AddTaps(branches[i], o, input, inputs, scales[i], sums);
                for (int tap = 0; tap < Taps; tap++)
                    to[((long)o * inputs + input) * Taps + tap] = (float)sums[tap];
            }
        });
        context.Record(result, () => new EquivalentKernel(branches, result));
        return result;
    }

    public override void Backward()
    {
        float* gradient = Output.Gradient;
        foreach (var branch in _branches)
        {
            var toKernel = GradientTarget.Of(branch.Kernel);
            var toWeight = GradientTarget.Of(branch.Weight);
            var toChannelScale = GradientTarget.Of(branch.ChannelScale);
            Output.Context.Run(Output.N, (o, _) =>
            {
                float* filterGradient = gradient + (long)o * _inputs * Taps;
                double byScale = branch.Kernel is null ? filterGradient[o % _inputs * Taps + Center] : BackwardOfFilter(branch, o, filterGradient, toKernel);
                if (branch.HasNorm)
                    toWeight.Add(o, byScale * branch.ScaleByWeight(o));
                toChannelScale.Add(o, byScale * branch.ScaleByChannelScale(o));
            });
        }
    }

    /// <summary>Adds the scaled values of a branch for one output and one input to the 9 taps.</summary>
    private static void AddTaps(BranchValues branch, int output, int input, int inputs, double scale, double* sums)
    {
        if (branch.Kernel is null)
        {
            sums[Center] += input == output % inputs ? scale : 0;
            return;
        }
        int taps = branch.Taps;
        float* from = branch.Kernel.Data + ((long)output * inputs + input) * taps;
        for (int tap = 0; tap < taps; tap++)
            sums[branch.TapOf(tap)] += from[tap] * scale;
    }

    /// <summary>Computes the gradient of one filter of a branch. The filter of the equivalent kernel is W / d with the divisor d; if d is the norm of W, it depends on W too.</summary>
    /// <returns>The gradient with respect to the scale of the branch.</returns>
    private double BackwardOfFilter(BranchValues branch, int output, float* gradient, GradientTarget toKernel)
    {
        int taps = branch.Taps;
        long first = (long)output * _inputs * taps;
        float* filter = branch.Kernel!.Data + first;
        double divisor = branch.DivisorOf(output), scale = branch.ScaleOf(output) / divisor, byScale = 0;
        for (int input = 0; input < _inputs; input++)
        {
            for (int tap = 0; tap < taps; tap++)
                byScale += (double)gradient[input * Taps + branch.TapOf(tap)] * filter[input * taps + tap];
        }
        byScale /= divisor;
        double byNorm = branch.NormalizesFilters && divisor > BranchSpec.SmallestFilterNorm ? byScale / divisor : 0;
        for (int input = 0; input < _inputs; input++)
        {
            for (int tap = 0; tap < taps; tap++)
            {
                int at = input * taps + tap;
                toKernel.Add(first + at, (gradient[input * Taps + branch.TapOf(tap)] - filter[at] * byNorm) * scale);
            }
        }
        return byScale;
    }
}
