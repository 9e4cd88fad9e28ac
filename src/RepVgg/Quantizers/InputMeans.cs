using RepVgg.Architectures;
using RepVgg.Networks;

namespace RepVgg.Quantizers;

/// <summary>
/// The mean of the inputs that each tap of a 3x3 convolution sees, for each channel, over all output positions and images: with them the mean of the outputs of any filters is known.
/// </summary>
/// <param name="channels">Number of input channels.</param>
/// <param name="height">Rows of the input.</param>
/// <param name="width">Columns of the input.</param>
/// <param name="geometry">How the convolution moves over the input.</param>
internal sealed class InputMeans(int channels, int height, int width, BlockGeometry geometry)
{
    // [channel][ky][kx].
    private readonly double[] _sums = new double[channels * 9];
    private long _positions;

    /// <summary>Adds the inputs of some images, [images, channels, height, width].</summary>
    public void Add(ReadOnlySpan<float> input, int images)
    {
        int stride = geometry.Stride, outputHeight = (height - 1) / stride + 1, outputWidth = (width - 1) / stride + 1, plane = height * width;
        _positions += (long)images * outputHeight * outputWidth;
        Span<double> columns = stackalloc double[3];
        for (int map = 0; map < images * channels; map++)
        {
            var sums = _sums.AsSpan(map % channels * 9, 9);
            for (int row = 0; row < height; row++)
            {
                Columns(input.Slice(map * plane + row * width, width), columns);
                // The row is that of tap ky for the output row (row + top - ky) / stride.
                for (int ky = 0; ky < 3; ky++)
                {
                    int y = row + geometry.Top - ky;
                    if (y >= 0 && y % stride == 0 && y / stride < outputHeight)
                    {
                        for (int kx = 0; kx < 3; kx++)
                            sums[ky * 3 + kx] += columns[kx];
                    }
                }
            }
        }
    }

    /// <summary>Subtracts from each bias how much the rounding of the weights changes the mean of its output.</summary>
    /// <param name="block">The block before quantization.</param>
    /// <param name="weights">Its quantized weights.</param>
    /// <param name="biases">The biases.</param>
    public void Correct(DeployBlock block, QuantizedWeights weights, double[] biases)
    {
        int groupInputs = channels / block.Shape.Groups, groupOutputs = block.Shape.OutputChannels / block.Shape.Groups;
        for (int o = 0; o < biases.Length; o++)
        {
            double change = 0;
            int firstChannel = o / groupOutputs * groupInputs;
            for (int i = 0; i < groupInputs * 9; i++)
            {
                int at = o * groupInputs * 9 + i;
                change += ((double)weights.Scales[o] * weights.Weights[at] - block.Kernel[at]) * _sums[firstChannel * 9 + i];
            }
            biases[o] -= change / _positions;
        }
    }

    // The sums over the output columns of the inputs of a row that the taps kx = 0, 1, 2 see.
    private void Columns(ReadOnlySpan<float> row, Span<double> sums)
    {
        sums.Clear();
        if (geometry.Stride == 1)
        {
            double all = 0;
            foreach (float value in row)
                all += value;
            (sums[0], sums[1], sums[2]) = (all - row[^1], all, all - row[0]);
            return;
        }
        double even = 0, odd = 0;
        for (int x = 0; x < row.Length; x += 2)
            even += row[x];
        for (int x = 1; x < row.Length; x += 2)
            odd += row[x];
        // Without padding at the left, output column x reads the columns 2x, 2x + 1 and 2x + 2, and the width is even.
        if (geometry.Left == 0)
            (sums[0], sums[1], sums[2]) = (even, odd, even - row[0]);
        else // It reads the columns 2x - 1, 2x and 2x + 1. The last odd column is the left neighbour of no output if the width is even.
            (sums[0], sums[1], sums[2]) = (row.Length % 2 == 0 ? odd - row[^1] : odd, even, odd);
    }
}
