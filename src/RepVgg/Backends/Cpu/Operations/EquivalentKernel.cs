using RepVgg.Backends.Cpu.Execution;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The equivalent kernel of a block as a function of its parameters: the sum of the kernels of its branches, scaled by their batch norms.</summary>
/// <remarks>The result is a four-dimensional tensor of a step, so its memory order is O, 3, 3, I.</remarks>
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
        var result = context.CreateStepTensor([outputs, inputs, 3, 3], branches.Any(branch => branch.Kernel is { RequiresGradient: true } || branch.Weight is { RequiresGradient: true }));
        float* to = result.Data;
        context.Run(outputs, (o, _) =>
        {
            var row = new double[Taps * inputs];
            foreach (var branch in branches)
            {
                double scale = branch.ScaleOf(o);
                if (branch.Kernel is not { } kernel)
                {
                    row[Center * inputs + o % inputs] += scale;
                    continue;
                }
                int taps = branch.Taps;
                float* from = kernel.Data + (long)o * inputs * taps;
                for (int tap = 0; tap < taps; tap++)
                {
                    int target = branch.TapOf(tap) * inputs;
                    for (int i = 0; i < inputs; i++)
                        row[target + i] += from[i * taps + tap] * scale;
                }
            }
            for (int i = 0; i < row.Length; i++)
                to[(long)o * row.Length + i] = (float)row[i];
        });
        context.Record(result, () => new EquivalentKernel(branches, result));
        return result;
    }

    public override void Backward()
    {
        float* gradient = Output.Gradient;
        foreach (var branch in _branches)
        {
            var toWeight = GradientTarget.Of(branch.Weight);
            if (branch.Kernel is { } kernel)
                BackwardOfKernel(branch, kernel, gradient, toWeight);
            else if (branch.HasNorm)
                Output.Context.Run(Output.N, (o, _) => toWeight.Add(o, gradient[((long)o * Taps + Center) * _inputs + o % _inputs] * branch.InverseOf(o)));
        }
    }

    private void BackwardOfKernel(BranchValues branch, CpuTensor kernel, float* gradient, GradientTarget toWeight)
    {
        var toKernel = new GradientTarget(kernel);
        int taps = branch.Taps;
        float* values = kernel.Data;
        Output.Context.Run(Output.N, (o, _) =>
        {
            double scale = branch.ScaleOf(o), sum = 0;
            for (int tap = 0; tap < taps; tap++)
            {
                float* from = gradient + ((long)o * Taps + branch.TapOf(tap)) * _inputs;
                for (int i = 0; i < _inputs; i++)
                {
                    long at = ((long)o * _inputs + i) * taps + tap;
                    sum += (double)from[i] * values[at];
                    toKernel.Add(at, from[i] * scale);
                }
            }
            if (branch.HasNorm)
                toWeight.Add(o, sum * branch.InverseOf(o));
        });
    }
}
