namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The equivalent bias of a block as a function of its parameters: the sum of bias - running mean * scale over its batch norms.</summary>
internal sealed unsafe class EquivalentBias : CpuOperation
{
    private readonly BranchValues _branches;

    private EquivalentBias(BranchValues branches, CpuTensor output)
        : base(output) => _branches = branches;

    public static CpuTensor Apply(CpuBackend backend, BranchValues branches)
    {
        var output = backend.NewStepTensor([branches.Outputs], branches.Norms.Any(norm => norm.Weight.RequiresGradient || norm.Bias.RequiresGradient));
        for (int o = 0; o < branches.Outputs; o++)
        {
            double sum = 0;
            foreach (var norm in branches.Norms)
                sum += norm.Bias.Data[o] - norm.MeanOf(o) * norm.ScaleOf(o);
            output.Data[o] = (float)sum;
        }
        backend.Record(output, () => new EquivalentBias(branches, output));
        return output;
    }

    public override void Backward()
    {
        float* gradient = Output.Gradient;
        foreach (var norm in _branches.Norms)
        {
            var toWeight = new GradientTarget(norm.Weight);
            var toBias = new GradientTarget(norm.Bias);
            for (int o = 0; o < _branches.Outputs; o++)
            {
                toWeight.Add(o, -norm.MeanOf(o) * norm.InverseOf(o) * gradient[o]);
                toBias.Add(o, gradient[o]);
            }
        }
    }
}
