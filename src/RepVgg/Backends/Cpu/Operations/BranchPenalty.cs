namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The RepVGG authors' custom L2 penalty of a block as a function of its kernels; see <see cref="Backend.BranchPenalty"/>.</summary>
internal sealed unsafe class BranchPenalty : CpuOperation
{
    /// <summary>Lower limit of the denominator of the centre term. It prevents 0 / 0 if the weights of both batch norms are zero.</summary>
    private const double SmallestScale = 1e-30;

    private readonly BranchValues _branches;

    private BranchPenalty(BranchValues branches, CpuTensor output)
        : base(output) => _branches = branches;

    public static CpuTensor Apply(CpuBackend backend, BranchValues branches)
    {
        var output = backend.NewStepTensor([], branches.KernelsRequireGradient);
        int inputs = branches.Inputs;
        float* kernel3x3 = branches.Kernel3x3.Data;
        float* kernel1x1 = branches.Kernel1x1.Data;
        double[] sums = new double[branches.Outputs];
        backend.Run(branches.Outputs, (o, _) =>
        {
            var (scale3x3, scale1x1, norm) = Scales(branches, o);
            double border = 0, center = 0;
            for (long at = (long)o * inputs; at < (o + 1L) * inputs; at++)
            {
                float* taps = kernel3x3 + at * BranchValues.Taps;
                for (int tap = 0; tap < BranchValues.Taps; tap++)
                    border += tap == BranchValues.Center ? 0 : (double)taps[tap] * taps[tap];
                double sum = taps[BranchValues.Center] * scale3x3 + kernel1x1[at] * scale1x1;
                center += sum * sum;
            }
            sums[o] = border + center / norm;
        });
        *output.Data = (float)sums.Sum();
        backend.Record(output, () => new BranchPenalty(branches, output));
        return output;
    }

    public override void Backward()
    {
        double factor = 2 * *Output.Gradient;
        int inputs = _branches.Inputs;
        float* kernel3x3 = _branches.Kernel3x3.Data;
        float* kernel1x1 = _branches.Kernel1x1.Data;
        var to3x3 = new GradientTarget(_branches.Kernel3x3);
        var to1x1 = new GradientTarget(_branches.Kernel1x1);
        Output.Owner.Run(_branches.Outputs, (o, _) =>
        {
            var (scale3x3, scale1x1, norm) = Scales(_branches, o);
            for (long at = (long)o * inputs; at < (o + 1L) * inputs; at++)
            {
                float* taps = kernel3x3 + at * BranchValues.Taps;
                double center = (taps[BranchValues.Center] * scale3x3 + kernel1x1[at] * scale1x1) / norm;
                for (int tap = 0; tap < BranchValues.Taps; tap++)
                    to3x3.Add(at * BranchValues.Taps + tap, factor * (tap == BranchValues.Center ? center * scale3x3 : taps[tap]));
                to1x1.Add(at, factor * center * scale1x1);
            }
        });
    }

    private static (double Scale3x3, double Scale1x1, double Norm) Scales(BranchValues branches, int output)
    {
        double scale3x3 = branches.Norms[0].ScaleOf(output), scale1x1 = branches.Norms[1].ScaleOf(output);
        return (scale3x3, scale1x1, Math.Max(scale3x3 * scale3x3 + scale1x1 * scale1x1, SmallestScale));
    }
}
