using RepVgg.Backends.Cpu.Execution;
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

    public static CpuTensor Apply(CpuContext context, CpuTensor left, CpuTensor right)
    {
        var output = context.CreateStepTensor(left.Dimensions, left.RequiresGradient || right.RequiresGradient);
        float* a = left.Data;
        float* b = right.Data;
        float* y = output.Data;
        Elementwise.Run(context.Loop, output.Count, (start, count) => Elementwise.Add(a + start, b + start, y + start, count));
        context.Record(output, () => new Addition(left, right, output));
        return output;
    }

    public override void Backward()
    {
        AddGradient(_left);
        AddGradient(_right);
    }

    private void AddGradient(CpuTensor input)
    {
        if (!input.RequiresGradient)
            return;
        float* from = Output.Gradient;
        float* to = input.GradientForWriting(out bool accumulate);
        Elementwise.Run(Output.Context.Loop, Output.Count, (start, count) => Elementwise.Scale(from + start, 1, to + start, count, accumulate));
    }
}
