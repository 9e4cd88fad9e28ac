using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Multiplication of a map by one factor per image and channel, as in squeeze-and-excitation.</summary>
internal sealed unsafe class ChannelScale : CpuOperation
{
    private readonly CpuTensor _map;
    private readonly CpuTensor _scale;

    private ChannelScale(CpuTensor map, CpuTensor scale, CpuTensor output)
        : base(output)
    {
        _map = map;
        _scale = scale;
    }

    public static CpuTensor Apply(CpuContext context, CpuTensor map, CpuTensor scale)
    {
        var output = context.CreateStepTensor(map.Dimensions, map.RequiresGradient || scale.RequiresGradient);
        int area = map.Area, channels = map.C;
        float* x = map.Data;
        float* s = scale.Data;
        float* y = output.Data;
        context.Run(map.N, (image, _) =>
        {
            long at = (long)image * area * channels;
            ChannelLoops.Multiply(x + at, y + at, area, channels, s + (long)image * channels, accumulate: false);
        });
        context.Record(output, () => new ChannelScale(map, scale, output));
        return output;
    }

    public override void Backward()
    {
        int area = _map.Area, channels = _map.C;
        float* x = _map.Data;
        float* s = _scale.Data;
        float* g = Output.Gradient;
        bool addToMap = false, addToScale = false;
        float* mapGradient = _map.RequiresGradient ? _map.GradientForWriting(out addToMap) : null;
        float* scaleGradient = _scale.RequiresGradient ? _scale.GradientForWriting(out addToScale) : null;
        Output.Context.Run(_map.N, (image, _) =>
        {
            long at = (long)image * area * channels;
            if (mapGradient is not null)
                ChannelLoops.Multiply(g + at, mapGradient + at, area, channels, s + (long)image * channels, addToMap);
            if (scaleGradient is not null)
                ChannelLoops.SumProducts(g + at, x + at, area, channels, scaleGradient + (long)image * channels, addToScale);
        });
    }
}
