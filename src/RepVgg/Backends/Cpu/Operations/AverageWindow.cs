using RepVgg.Architectures;
using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The mean of every 3x3 window, with the zeros of the padding.</summary>
internal sealed unsafe class AverageWindow : CpuOperation
{
    private const int Size = 3;
    private const float Weight = 1f / (Size * Size);

    private readonly CpuTensor _input;
    private readonly int _stride, _padding;

    private AverageWindow(CpuTensor input, int stride, int padding, CpuTensor output)
        : base(output) => (_input, _stride, _padding) = (input, stride, padding);

    public static CpuTensor Apply(CpuContext context, CpuTensor input, int stride, int padding)
    {
        int channels = input.C, height = input.H, width = input.W;
        var geometry = ConvolutionGeometry.Padded(stride, padding, groups: 1);
        int outputHeight = geometry.OutputHeight(height, Size), outputWidth = geometry.OutputWidth(width, Size);
        var output = context.CreateStepTensor([input.N, channels, outputHeight, outputWidth], input.RequiresGradient);
        float* x = input.Data;
        float* y = output.Data;
        context.Run(input.N * outputHeight, (row, _) =>
        {
            float* image = x + (long)(row / outputHeight) * height * width * channels;
            float* result = y + (long)row * outputWidth * channels;
            new Span<float>(result, outputWidth * channels).Clear();
            int top = row % outputHeight * stride - padding;
            for (int fromY = Math.Max(top, 0); fromY < Math.Min(top + Size, height); fromY++)
            {
                for (int toX = 0; toX < outputWidth; toX++)
                {
                    int left = toX * stride - padding;
                    for (int fromX = Math.Max(left, 0); fromX < Math.Min(left + Size, width); fromX++)
                        Elementwise.Scale(image + ((long)fromY * width + fromX) * channels, Weight, result + (long)toX * channels, channels, accumulate: true);
                }
            }
        });
        context.Record(output, () => new AverageWindow(input, stride, padding, output));
        return output;
    }

    public override void Backward()
    {
        int channels = _input.C, height = _input.H, width = _input.W, outputHeight = Output.H, outputWidth = Output.W;
        float* g = Output.Gradient;
        float* d = _input.GradientForWriting(out bool accumulate);
        Output.Context.Run(_input.N * height, (row, _) =>
        {
            float* image = g + (long)(row / height) * outputHeight * outputWidth * channels;
            float* result = d + (long)row * width * channels;
            if (!accumulate)
                new Span<float>(result, width * channels).Clear();
            var (firstY, lastY) = WindowsOf(row % height, outputHeight);
            for (int toX = 0; toX < width; toX++)
            {
                var (firstX, lastX) = WindowsOf(toX, outputWidth);
                for (int fromY = firstY; fromY <= lastY; fromY++)
                {
                    for (int fromX = firstX; fromX <= lastX; fromX++)
                        Elementwise.Scale(image + ((long)fromY * outputWidth + fromX) * channels, Weight, result + (long)toX * channels, channels, accumulate: true);
                }
            }
        });
    }

    /// <summary>Returns the first and the last window that contain a row or column of the input; the last is before the first if no window does.</summary>
    private (int First, int Last) WindowsOf(int position, int windows)
    {
        int padded = position + _padding;
        return (Math.Max(0, (padded - Size + _stride) / _stride), Math.Min(windows - 1, padded / _stride));
    }
}
