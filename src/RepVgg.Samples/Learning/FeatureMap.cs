using RepVgg.Reparameterization;

namespace RepVgg.Samples.Learning;

/// <summary>A feature map [channels, height, width] with the operations of a RepVGG block. They are computed in double precision, directly by their definitions, and are not optimized.</summary>
internal sealed class FeatureMap(int channels, int height, int width)
{
    private readonly double[,,] _values = new double[channels, height, width];

    public int Channels => channels;

    public int Height => height;

    public int Width => width;

    public double this[int channel, int y, int x]
    {
        get => _values[channel, y, x];
        set => _values[channel, y, x] = value;
    }

    /// <summary>Creates a map whose channels have constant values.</summary>
    public static FeatureMap OfConstants(int height, int width, params double[] values)
    {
        var map = new FeatureMap(values.Length, height, width);
        map.Fill((channel, _, _) => values[channel]);
        return map;
    }

    /// <summary>Computes a convolution of stride 1. The input is padded with zeros by half the kernel's size, so the output has the same height and width.</summary>
    /// <param name="kernel">The kernel, [outputs, channels / groups, size, size].</param>
    /// <param name="bias">The bias, [outputs].</param>
    /// <param name="size">Height and width of the kernel, an odd number.</param>
    /// <param name="groups">Number of groups.</param>
    public FeatureMap Convolve(float[] kernel, float[] bias, int size, int groups = 1)
    {
        int outputs = bias.Length, inputs = channels / groups, border = size / 2;
        var result = new FeatureMap(outputs, height, width);
        result.Fill((output, y, x) =>
        {
            double sum = bias[output];
            int first = output / (outputs / groups) * inputs;
            for (int i = 0; i < inputs; i++)
            {
                for (int ky = 0; ky < size; ky++)
                {
                    for (int kx = 0; kx < size; kx++)
                    {
                        int sy = y + ky - border, sx = x + kx - border;
                        if (sy >= 0 && sy < height && sx >= 0 && sx < width)
                            sum += kernel[((output * inputs + i) * size + ky) * size + kx] * _values[first + i, sy, sx];
                    }
                }
            }
            return sum;
        });
        return result;
    }

    /// <summary>Computes a batch norm in evaluation mode: (x - mean) / sqrt(variance + epsilon) * weight + bias.</summary>
    public FeatureMap Normalize(NormValues norm)
    {
        var result = new FeatureMap(channels, height, width);
        result.Fill((c, y, x) => (_values[c, y, x] - norm.Mean[c]) / Math.Sqrt(norm.Variance[c] + norm.Epsilon) * norm.Weight[c] + norm.Bias[c]);
        return result;
    }

    /// <summary>Computes the sum of two maps.</summary>
    public FeatureMap Plus(FeatureMap other)
    {
        var result = new FeatureMap(channels, height, width);
        result.Fill((c, y, x) => _values[c, y, x] + other[c, y, x]);
        return result;
    }

    /// <summary>Computes the largest absolute difference from another map.</summary>
    public double Difference(FeatureMap other)
    {
        double largest = 0;
        Fill((c, y, x) =>
        {
            largest = Math.Max(largest, Math.Abs(_values[c, y, x] - other[c, y, x]));
            return _values[c, y, x];
        });
        return largest;
    }

    private void Fill(Func<int, int, int, double> value)
    {
        for (int c = 0; c < channels; c++)
        {
            for (int y = 0; y < height; y++)
            {
                for (int x = 0; x < width; x++)
                    _values[c, y, x] = value(c, y, x);
            }
        }
    }
}
