using RepVgg.Backends.Cpu.Execution;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The RepVGG authors' custom L2 penalty of a block as a function of its kernels; see <see cref="Backend.BranchPenalty"/>.</summary>
internal sealed unsafe class BranchPenalty : CpuOperation
{
    private const int Center = 4;

    /// <summary>Lower limit of the denominator of the centre term. It prevents 0 / 0 if the scales of all branches are zero.</summary>
    private const double SmallestScale = 1e-30;

    private readonly BranchValues[] _branches;

    private BranchPenalty(BranchValues[] branches, CpuTensor output)
        : base(output) => _branches = branches;

    public static CpuTensor Apply(CpuContext context, BranchValues[] branches)
    {
        BranchValues[] kernels = [.. branches.Where(branch => branch.Kernel is not null)];
        var output = context.CreateStepTensor([], kernels.Any(branch => branch.Kernel!.RequiresGradient));
        int outputs = kernels[0].Kernel!.N, inputs = kernels[0].Kernel!.C;
        double[] sums = new double[outputs];
        context.Run(outputs, (o, _) =>
        {
            var (centers, norm) = Centers(kernels, o, inputs);
            double sum = 0;
            foreach (double center in centers)
                sum += center * center / norm;
            foreach (var branch in kernels)
            {
                float* values = branch.Kernel!.Data + (long)o * inputs * branch.Taps;
                for (int at = 0; at < inputs * branch.Taps; at++)
                    sum += branch.TapOf(at % branch.Taps) == Center ? 0 : (double)values[at] * values[at];
            }
            sums[o] = sum;
        });
        *output.Data = (float)sums.Sum();
        context.Record(output, () => new BranchPenalty(kernels, output));
        return output;
    }

    public override void Backward()
    {
        double factor = 2 * *Output.Gradient;
        int outputs = _branches[0].Kernel!.N, inputs = _branches[0].Kernel!.C;
        GradientTarget[] targets = [.. _branches.Select(branch => new GradientTarget(branch.Kernel!))];
        Output.Context.Run(outputs, (o, _) =>
        {
            var (centers, norm) = Centers(_branches, o, inputs);
            foreach (var (branch, target) in _branches.Zip(targets))
            {
                double scale = branch.ScaleOf(o);
                for (int i = 0; i < inputs; i++)
                {
                    long first = ((long)o * inputs + i) * branch.Taps;
                    for (int tap = 0; tap < branch.Taps; tap++)
                        target.Add(first + tap, factor * (branch.TapOf(tap) == Center ? centers[i] / norm * scale : branch.Kernel!.Data[first + tap]));
                }
            }
        });
    }

    /// <summary>Computes, for one output channel, the centre tap of the equivalent kernel for each input channel, and the sum of the squared scales.</summary>
    private static (double[] Centers, double Norm) Centers(BranchValues[] branches, int output, int inputs)
    {
        var centers = new double[inputs];
        double norm = 0;
        foreach (var branch in branches)
        {
            double scale = branch.ScaleOf(output);
            norm += scale * scale;
            float* center = branch.Kernel!.Data + (long)output * inputs * branch.Taps + branch.Taps / 2;
            for (int i = 0; i < inputs; i++)
                centers[i] += center[i * branch.Taps] * scale;
        }
        return (centers, Math.Max(norm, SmallestScale));
    }
}
