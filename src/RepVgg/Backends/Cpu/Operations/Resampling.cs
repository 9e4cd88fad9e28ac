using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Runtime.Resampling;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Bilinear resizing and adaptive average pooling: a linear map of the rows and one of the columns of every channel.</summary>
internal sealed unsafe class Resampling : CpuOperation
{
    private readonly CpuTensor _input;
    private readonly AxisWeights _rows, _columns;

    private Resampling(CpuTensor input, AxisWeights rows, AxisWeights columns, CpuTensor output)
        : base(output) => (_input, _rows, _columns) = (input, rows, columns);

    public static CpuTensor Apply(CpuContext context, CpuTensor input, AxisWeights rows, AxisWeights columns)
    {
        var output = context.CreateStepTensor([input.N, input.C, rows.Outputs, columns.Outputs], input.RequiresGradient);
        Run(context, input.Data, output.Data, input.N, input.C, rows, columns, accumulate: false);
        context.Record(output, () => new Resampling(input, rows, columns, output));
        return output;
    }

    public override void Backward()
    {
        float* gradient = _input.GradientForWriting(out bool accumulate);
        Run(Output.Context, Output.Gradient, gradient, _input.N, _input.C, _rows.Transposed(), _columns.Transposed(), accumulate);
    }

    /// <summary>Computes y[r, c] = sum over i, j of rows[r, i] * columns[c, j] * x[i, j] for all images and channels, with channels last.</summary>
    private static void Run(CpuContext context, float* x, float* y, int images, int channels, AxisWeights rows, AxisWeights columns, bool accumulate) => context.Run(images * rows.Outputs, (item, _) =>
    {
        var (image, row) = Math.DivRem(item, rows.Outputs);
        float* source = x + (long)image * rows.Inputs * columns.Inputs * channels;
        float* target = y + (long)item * columns.Outputs * channels;
        if (!accumulate)
            new Span<float>(target, columns.Outputs * channels).Clear();
        var ofRow = rows.Weights(row);
        for (int column = 0; column < columns.Outputs; column++, target += channels)
        {
            var ofColumn = columns.Weights(column);
            for (int i = 0; i < ofRow.Length; i++)
            {
                float* pixel = source + ((long)(rows.First(row) + i) * columns.Inputs + columns.First(column)) * channels;
                for (int j = 0; j < ofColumn.Length; j++, pixel += channels)
                    Elementwise.Scale(pixel, ofRow[i] * ofColumn[j], target, channels, accumulate: true);
            }
        }
    });
}
