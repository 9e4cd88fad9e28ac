namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The equivalent kernel of a block as a function of its parameters: the sum of the kernels of its branches, scaled by their batch norms.</summary>
/// <remarks>The result is a four-dimensional tensor of a step, so its memory order is O, 3, 3, I.</remarks>
internal sealed unsafe class EquivalentKernel : CpuOperation
{
    private readonly BranchValues _branches;

    private EquivalentKernel(BranchValues branches, CpuTensor output)
        : base(output) => _branches = branches;

    public static CpuTensor Apply(CpuBackend backend, BranchValues branches)
    {
        int inputs = branches.Inputs;
        var output = backend.NewStepTensor(
            [branches.Outputs, inputs, 3, 3], branches.KernelsRequireGradient || branches.Norms.Any(norm => norm.Weight.RequiresGradient));
        float* kernel3x3 = branches.Kernel3x3.Data;
        float* kernel1x1 = branches.Kernel1x1.Data;
        float* result = output.Data;
        backend.Run(branches.Outputs, (o, _) =>
        {
            double scale3x3 = branches.Norms[0].ScaleOf(o), scale1x1 = branches.Norms[1].ScaleOf(o);
            float* large = kernel3x3 + (long)o * inputs * BranchValues.Taps;
            float* small = kernel1x1 + (long)o * inputs;
            float* to = result + (long)o * inputs * BranchValues.Taps;
            for (int tap = 0; tap < BranchValues.Taps; tap++)
            {
                for (int i = 0; i < inputs; i++)
                {
                    double value = large[i * BranchValues.Taps + tap] * scale3x3;
                    if (tap == BranchValues.Center)
                    {
                        value += small[i] * scale1x1;
                        if (branches.HasIdentity && i == o % inputs)
                            value += branches.Norms[2].ScaleOf(o);
                    }
                    to[tap * inputs + i] = (float)value;
                }
            }
        });
        backend.Record(output, () => new EquivalentKernel(branches, output));
        return output;
    }

    public override void Backward()
    {
        int inputs = _branches.Inputs;
        float* gradient = Output.Gradient;
        float* kernel3x3 = _branches.Kernel3x3.Data;
        float* kernel1x1 = _branches.Kernel1x1.Data;
        var to3x3 = new GradientTarget(_branches.Kernel3x3);
        var to1x1 = new GradientTarget(_branches.Kernel1x1);
        GradientTarget[] toWeights = [.. _branches.Norms.Select(norm => new GradientTarget(norm.Weight))];
        Output.Owner.Run(_branches.Outputs, (o, _) =>
        {
            double scale3x3 = _branches.Norms[0].ScaleOf(o), scale1x1 = _branches.Norms[1].ScaleOf(o), sum3x3 = 0, sum1x1 = 0;
            float* from = gradient + (long)o * inputs * BranchValues.Taps;
            float* center = from + BranchValues.Center * inputs;
            for (int i = 0; i < inputs; i++)
            {
                long at = (long)o * inputs + i;
                for (int tap = 0; tap < BranchValues.Taps; tap++)
                {
                    double slope = from[tap * inputs + i];
                    sum3x3 += slope * kernel3x3[at * BranchValues.Taps + tap];
                    to3x3.Add(at * BranchValues.Taps + tap, slope * scale3x3);
                }
                sum1x1 += (double)center[i] * kernel1x1[at];
                to1x1.Add(at, center[i] * scale1x1);
            }
            toWeights[0].Add(o, sum3x3 * _branches.Norms[0].InverseOf(o));
            toWeights[1].Add(o, sum1x1 * _branches.Norms[1].InverseOf(o));
            if (_branches.HasIdentity)
                toWeights[2].Add(o, center[o % inputs] * _branches.Norms[2].InverseOf(o));
        });
    }
}
