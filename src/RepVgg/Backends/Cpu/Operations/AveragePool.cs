using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Global average pooling: the mean over height and width.</summary>
internal sealed unsafe class AveragePool : CpuOperation
{
    private readonly CpuTensor _input;

    private AveragePool(CpuTensor input, CpuTensor output)
        : base(output) => _input = input;

    public static CpuTensor Apply(CpuContext context, CpuTensor input)
    {
        int area = input.Area, channels = input.C;
        var output = context.CreateStepTensor([input.N, channels, 1, 1], input.RequiresGradient);
        float* x = input.Data;
        float* y = output.Data;
        context.Run(input.N, (image, _) =>
        {
            float* result = y + (long)image * channels;
            new Span<float>(result, channels).Clear();
            ChannelLoops.AddSums(x + (long)image * area * channels, area, channels, result);
            Elementwise.Scale(result, 1f / area, result, channels, accumulate: false);
        });
        context.Record(output, () => new AveragePool(input, output));
        return output;
    }

    public override void Backward()
    {
        int area = _input.Area, channels = _input.C;
        float* g = Output.Gradient;
        float* d = _input.GradientForWriting(out bool accumulate);
        Output.Context.Run(_input.N, (image, _) =>
            ChannelLoops.Broadcast(g + (long)image * channels, 1f / area, d + (long)image * area * channels, area, channels, accumulate));
    }
}
