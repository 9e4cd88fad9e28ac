using RepVgg.Backends.Cpu.Execution;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The equivalent bias of a block as a function of its parameters: the sum of bias - running mean * scale over its batch norms.</summary>
internal sealed unsafe class EquivalentBias : CpuOperation
{
    private readonly BranchValues[] _branches;

    private EquivalentBias(BranchValues[] branches, CpuTensor output)
        : base(output) => _branches = branches;

    public static CpuTensor Apply(CpuContext context, BranchValues[] branches)
    {
        int outputs = branches.First(branch => branch.Kernel is not null).Kernel!.N;
        var output = context.CreateStepTensor([outputs], branches.Any(branch => branch.HasNorm && (branch.ScaleRequiresGradient || branch.Bias!.RequiresGradient)));
        for (int o = 0; o < outputs; o++)
            output.Data[o] = (float)branches.Sum(branch => branch.ShiftOf(o));
        context.Record(output, () => new EquivalentBias(branches, output));
        return output;
    }

    public override void Backward()
    {
        float* gradient = Output.Gradient;
        foreach (var branch in _branches.Where(branch => branch.HasNorm))
        {
            var toWeight = GradientTarget.Of(branch.Weight);
            var toBias = GradientTarget.Of(branch.Bias);
            var toChannelScale = GradientTarget.Of(branch.ChannelScale);
            for (int o = 0; o < Output.N; o++)
            {
                toWeight.Add(o, branch.ShiftByWeight(o) * gradient[o]);
                toBias.Add(o, branch.ShiftByBias(o) * gradient[o]);
                toChannelScale.Add(o, branch.ShiftByChannelScale(o) * gradient[o]);
            }
        }
    }
}
