using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>1 / (1 + exp(-x)).</summary>
internal sealed unsafe class Logistic : CpuOperation
{
    private readonly CpuTensor _input;

    private Logistic(CpuTensor input, CpuTensor output)
        : base(output) => _input = input;

    public static CpuTensor Apply(CpuBackend backend, CpuTensor input)
    {
        var output = backend.NewStepTensor(input.Dimensions, input.RequiresGradient);
        float* x = input.Data;
        float* y = output.Data;
        Elementwise.Run(backend, output.Count, (start, count) => Elementwise.Sigmoid(x + start, y + start, count));
        backend.Record(output, () => new Logistic(input, output));
        return output;
    }

    public override void Backward()
    {
        float* y = Output.Data;
        float* g = Output.Gradient;
        float* d = _input.GradientForWriting(out bool accumulate);
        Elementwise.Run(Output.Owner, Output.Count, (start, count) => Elementwise.SigmoidGradient(y + start, g + start, d + start, count, accumulate));
    }
}
