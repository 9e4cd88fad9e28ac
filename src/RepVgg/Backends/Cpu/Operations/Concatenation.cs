using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Concatenation of maps along their channels.</summary>
internal sealed unsafe class Concatenation : CpuOperation
{
    private readonly CpuTensor[] _inputs;

    private Concatenation(CpuTensor[] inputs, CpuTensor output)
        : base(output) => _inputs = inputs;

    public static CpuTensor Apply(CpuContext context, CpuTensor[] inputs)
    {
        var first = inputs[0];
        var output = context.CreateStepTensor([first.N, inputs.Sum(input => input.C), first.H, first.W], inputs.Any(input => input.RequiresGradient));
        int channels = output.C, before = 0;
        float* y = output.Data;
        foreach (var input in inputs)
        {
            float* x = input.Data, part = y + before;
            int own = input.C;
            context.Run(input.N * input.H, (row, _) =>
            {
                for (long pixel = (long)row * input.W; pixel < (row + 1L) * input.W; pixel++)
                    new ReadOnlySpan<float>(x + pixel * own, own).CopyTo(new Span<float>(part + pixel * channels, own));
            });
            before += own;
        }
        context.Record(output, () => new Concatenation(inputs, output));
        return output;
    }

    public override void Backward()
    {
        int channels = Output.C, before = 0;
        float* gradient = Output.Gradient;
        foreach (var input in _inputs)
        {
            int own = input.C;
            float* part = gradient + before;
            before += own;
            if (!input.RequiresGradient)
                continue;
            float* d = input.GradientForWriting(out bool accumulate);
            Output.Context.Run(input.N * input.H, (row, _) =>
            {
                for (long pixel = (long)row * input.W; pixel < (row + 1L) * input.W; pixel++)
                    Elementwise.Scale(part + pixel * channels, 1, d + pixel * own, own, accumulate);
            });
        }
    }
}
