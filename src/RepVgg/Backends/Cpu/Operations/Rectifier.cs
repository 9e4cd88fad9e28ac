using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>max(x, 0).</summary>
internal sealed unsafe class Rectifier : CpuOperation
{
    private readonly CpuTensor _input;

    private Rectifier(CpuTensor input, CpuTensor output)
        : base(output) => _input = input;

    public static CpuTensor Apply(CpuBackend backend, CpuTensor input)
    {
        var output = backend.NewStepTensor(input.Dimensions, input.RequiresGradient);
        float* x = input.Data;
        float* y = output.Data;
        Elementwise.Run(backend, output.Count, (start, count) => Elementwise.Relu(x + start, y + start, count));
        backend.Record(output, () => new Rectifier(input, output));
        return output;
    }

    public override void Backward()
    {
        float* y = Output.Data;
        float* g = Output.Gradient;
        float* d = _input.GradientForWriting(out bool accumulate);
        Elementwise.Run(Output.Owner, Output.Count, (start, count) => Elementwise.ReluGradient(y + start, g + start, d + start, count, accumulate));
    }
}
