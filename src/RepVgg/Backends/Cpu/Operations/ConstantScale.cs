using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Multiplication by a constant.</summary>
internal sealed unsafe class ConstantScale : CpuOperation
{
    private readonly CpuTensor _input;
    private readonly float _factor;

    private ConstantScale(CpuTensor input, float factor, CpuTensor output)
        : base(output)
    {
        _input = input;
        _factor = factor;
    }

    public static CpuTensor Apply(CpuContext context, CpuTensor input, float factor)
    {
        var output = context.CreateStepTensor(input.Dimensions, input.RequiresGradient);
        float* x = input.Data;
        float* y = output.Data;
        Elementwise.Run(context.Loop, output.Count, (start, count) => Elementwise.Scale(x + start, factor, y + start, count, accumulate: false));
        context.Record(output, () => new ConstantScale(input, factor, output));
        return output;
    }

    public override void Backward()
    {
        float* g = Output.Gradient;
        float* d = _input.GradientForWriting(out bool accumulate);
        Elementwise.Run(Output.Context.Loop, Output.Count, (start, count) => Elementwise.Scale(g + start, _factor, d + start, count, accumulate));
    }
}
