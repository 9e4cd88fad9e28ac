using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Element-wise sum.</summary>
internal sealed unsafe class Addition : CpuOperation
{
    private readonly CpuTensor _left;
    private readonly CpuTensor _right;

    private Addition(CpuTensor left, CpuTensor right, CpuTensor output)
        : base(output)
    {
        _left = left;
        _right = right;
    }

    public static CpuTensor Apply(CpuBackend backend, CpuTensor left, CpuTensor right)
    {
        var output = backend.NewStepTensor(left.Dimensions, left.RequiresGradient || right.RequiresGradient);
        float* a = left.Data;
        float* b = right.Data;
        float* y = output.Data;
        Elementwise.Run(backend.Loop, output.Count, (start, count) => Elementwise.Add(a + start, b + start, y + start, count));
        backend.Record(output, () => new Addition(left, right, output));
        return output;
    }

    public override void Backward()
    {
        Pass(_left);
        Pass(_right);
    }

    private void Pass(CpuTensor input)
    {
        if (!input.RequiresGradient)
            return;
        float* from = Output.Gradient;
        float* to = input.GradientForWriting(out bool accumulate);
        Elementwise.Run(Output.Owner.Loop, Output.Count, (start, count) => Elementwise.Scale(from + start, 1, to + start, count, accumulate));
    }
}
