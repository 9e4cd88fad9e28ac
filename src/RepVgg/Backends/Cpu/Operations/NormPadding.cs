using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>A border of one pixel with what a batch norm makes of 0 with its running statistics, which is a constant in the backward pass.</summary>
internal sealed unsafe class NormPadding : CpuOperation
{
    private readonly CpuTensor _map;

    private NormPadding(CpuTensor map, CpuTensor output)
        : base(output) => _map = map;

    public static CpuTensor Apply(CpuContext context, CpuTensor map, BatchNormState norm)
    {
        int channels = map.C, height = map.H, width = map.W;
        var output = context.CreateStepTensor([map.N, channels, height + 2, width + 2], map.RequiresGradient);
        float[] border = BorderOf(norm);
        float* x = map.Data;
        float* y = output.Data;
        context.Run(map.N * (height + 2), (row, _) =>
        {
            var result = new Span<float>(y + (long)row * (width + 2) * channels, (width + 2) * channels);
            int image = row / (height + 2), fromY = row % (height + 2) - 1;
            bool inside = fromY >= 0 && fromY < height;
            for (int toX = 0; toX < width + 2; toX += inside ? width + 1 : 1)
                border.CopyTo(result.Slice(toX * channels, channels));
            if (inside)
                new ReadOnlySpan<float>(x + ((long)image * height + fromY) * width * channels, width * channels).CopyTo(result[channels..]);
        });
        context.Record(output, () => new NormPadding(map, output));
        return output;
    }

    public override void Backward()
    {
        int channels = _map.C, height = _map.H, width = _map.W;
        float* g = Output.Gradient;
        float* d = _map.GradientForWriting(out bool accumulate);
        Output.Context.Run(_map.N * height, (row, _) =>
        {
            int image = row / height, y = row % height;
            float* from = g + (((long)image * (height + 2) + y + 1) * (width + 2) + 1) * channels;
            Elementwise.Scale(from, 1, d + (long)row * width * channels, width * channels, accumulate);
        });
    }

    private static float[] BorderOf(BatchNormState norm)
    {
        CpuTensor weight = (CpuTensor)norm.Weight, bias = (CpuTensor)norm.Bias, mean = (CpuTensor)norm.RunningMean, variance = (CpuTensor)norm.RunningVariance;
        return [.. Enumerable.Range(0, bias.N).Select(c => (float)(bias.Data[c] - (double)mean.Data[c] * weight.Data[c] / Math.Sqrt((double)variance.Data[c] + norm.Epsilon)))];
    }
}
