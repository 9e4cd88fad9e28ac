using RepVgg.Reparameterization;

namespace RepVgg.Tests.Reparameterization;

/// <summary>Operations on one feature map [C, H, W] by their definition, in double precision: slow and readable.</summary>
internal static class ReferenceConvolution
{
    /// <summary>A convolution with a kernel [outputs, channels / groups, height, width], padded with zeros by half the kernel's size or not at all.</summary>
    public static double[,,] Run(
        double[,,] input, float[] kernel, int outputs, int height, int width, int stride = 1, int groups = 1, float[]? bias = null, bool padded = true)
    {
        if (padded)
            input = Pad(input, height / 2, width / 2);
        int inputs = input.GetLength(0) / groups;
        var output = new double[outputs, (input.GetLength(1) - height) / stride + 1, (input.GetLength(2) - width) / stride + 1];
        for (int o = 0; o < outputs; o++)
        {
            for (int y = 0; y < output.GetLength(1); y++)
            {
                for (int x = 0; x < output.GetLength(2); x++)
                {
                    double sum = bias?[o] ?? 0;
                    for (int k = 0; k < inputs * height * width; k++)
                    {
                        int channel = o / (outputs / groups) * inputs + k / (height * width);
                        sum += (double)kernel[o * inputs * height * width + k] * input[channel, y * stride + k / width % height, x * stride + k % width];
                    }
                    output[o, y, x] = sum;
                }
            }
        }
        return output;
    }

    /// <summary>Zeros on all sides.</summary>
    public static double[,,] Pad(double[,,] input, int vertical, int horizontal)
    {
        int height = input.GetLength(1) + 2 * vertical, width = input.GetLength(2) + 2 * horizontal;
        var padded = new double[input.GetLength(0), height, width];
        return Fill(padded, (c, y, x) =>
            y < vertical || y >= height - vertical || x < horizontal || x >= width - horizontal ? 0 : input[c, y - vertical, x - horizontal]);
    }

    /// <summary>A batch norm in evaluation mode.</summary>
    public static double[,,] Normalize(double[,,] input, NormValues norm) => Fill(
        new double[input.GetLength(0), input.GetLength(1), input.GetLength(2)],
        (c, y, x) => (input[c, y, x] - norm.Mean[c]) / Math.Sqrt(norm.Variance[c] + norm.Epsilon) * norm.Weight[c] + norm.Bias[c]);

    public static double[,,] Add(double[,,] left, double[,,] right) => Fill(
        new double[left.GetLength(0), left.GetLength(1), left.GetLength(2)], (c, y, x) => left[c, y, x] + right[c, y, x]);

    private static double[,,] Fill(double[,,] map, Func<int, int, int, double> value)
    {
        for (int c = 0; c < map.GetLength(0); c++)
        {
            for (int y = 0; y < map.GetLength(1); y++)
            {
                for (int x = 0; x < map.GetLength(2); x++)
                    map[c, y, x] = value(c, y, x);
            }
        }
        return map;
    }
}
