namespace RepVgg.Samples.Learning;

/// <summary>A feature map [channels, height, width] with the operations of a RepVGG block by their definitions, slow and in double precision.</summary>
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

    /// <summary>A map whose channels are constants.</summary>
    public static FeatureMap OfConstants(int height, int width, params double[] values)
    {
        var map = new FeatureMap(values.Length, height, width);
        map.Fill((channel, _, _) => values[channel]);
        return map;
    }

    /// <summary>A convolution of stride 1 whose input is padded with zeros by half the kernel's size.</summary>
    /// <param name="kernel">[outputs, channels / groups, size, size].</param>
    /// <param name="bias">[outputs].</param>
    /// <param name="size">Height and width of the kernel, an odd number.</param>
    /// <param name="groups">Groups.</param>
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

    /// <summary>A batch norm in evaluation mode: (x - mean) / sqrt(variance + epsilon) * weight + bias.</summary>
    public FeatureMap Normalize(BatchNorm norm)
    {
        var result = new FeatureMap(channels, height, width);
        result.Fill((c, y, x) => (_values[c, y, x] - norm.Mean[c]) / Math.Sqrt(norm.Variance[c] + norm.Epsilon) * norm.Weight[c] + norm.Bias[c]);
        return result;
    }

    /// <summary>The sum of two maps.</summary>
    public FeatureMap Plus(FeatureMap other)
    {
        var result = new FeatureMap(channels, height, width);
        result.Fill((c, y, x) => _values[c, y, x] + other[c, y, x]);
        return result;
    }

    /// <summary>The largest absolute difference from another map.</summary>
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

/// <summary>A batch norm's parameters and running statistics, one value per channel.</summary>
internal sealed record BatchNorm(float[] Weight, float[] Bias, float[] Mean, float[] Variance)
{
    /// <summary>PyTorch's default.</summary>
    public double Epsilon => 1e-5f;
}
