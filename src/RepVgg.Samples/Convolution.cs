using RepVgg.Weights;

namespace RepVgg.Samples;

/// <summary>A convolution of stride 1, padded with zeros so that the output has the input's size, and what re-parameterization does with it. Feature maps are [channels, height, width].</summary>
/// <param name="Kernel">The kernel, [outputs, inputs of a group, size, size].</param>
/// <param name="Bias">The bias, [outputs].</param>
internal sealed record Convolution(double[,,,] Kernel, double[] Bias)
{
    private int Outputs => Kernel.GetLength(0);

    private int Inputs => Kernel.GetLength(1);

    private int Size => Kernel.GetLength(2);

    /// <summary>Creates a 3x3 convolution of two input channels and one output channel whose weights are all the same.</summary>
    public static Convolution Filled(double weight, double bias) => new(CreateKernel(1, 2, 3, (_, _, _, _) => weight), [bias]);

    /// <summary>Creates the identity as a 3x3 convolution: each output reads the centre of the input of its own number.</summary>
    public static Convolution Identity(int channels, int groups)
    {
        int inputs = channels / groups;
        return new(CreateKernel(channels, inputs, 3, (o, i, y, x) => (i, y, x) == (o % inputs, 1, 1) ? 1 : 0), new double[channels]);
    }

    /// <summary>A sum of convolutions of the same input is the convolution with the sums of kernels and biases.</summary>
    public Convolution Plus(Convolution other) =>
        new(CreateKernel(Outputs, Inputs, Size, (o, i, y, x) => Kernel[o, i, y, x] + other.Kernel[o, i, y, x]), [.. Bias.Zip(other.Bias, (left, right) => left + right)]);

    /// <summary>A batch norm multiplies a channel by a scale and adds a shift, so it goes into the kernel and the bias.</summary>
    public Convolution Then(BatchNorm norm) =>
        new(CreateKernel(Outputs, Inputs, Size, (o, i, y, x) => norm.Scale(o) * Kernel[o, i, y, x]), [.. Bias.Select((bias, o) => norm.Bias[o] + norm.Scale(o) * (bias - norm.Mean[o]))]);

    /// <summary>A 1x1 kernel is the centre of a 3x3 kernel whose other weights are 0.</summary>
    public Convolution To3x3() => new(CreateKernel(Outputs, Inputs, 3, (o, i, y, x) => (y, x) == (1, 1) ? Kernel[o, i, 0, 0] : 0), Bias);

    /// <summary>Computes the convolution by its definition.</summary>
    public double[,,] Apply(double[,,] input)
    {
        int height = input.GetLength(1), width = input.GetLength(2), outputsOfGroup = Outputs * Inputs / input.GetLength(0);
        return CreateMap(Outputs, height, width, (o, y, x) =>
        {
            double sum = Bias[o];
            for (int i = 0; i < Inputs; i++)
            {
                for (int ky = 0; ky < Size; ky++)
                {
                    for (int kx = 0; kx < Size; kx++)
                    {
                        int sy = y + ky - Size / 2, sx = x + kx - Size / 2;
                        if (sy >= 0 && sy < height && sx >= 0 && sx < width)
                            sum += Kernel[o, i, ky, kx] * input[o / outputsOfGroup * Inputs + i, sy, sx];
                    }
                }
            }
            return sum;
        });
    }

    /// <summary>Converts the kernel to a weight of the library.</summary>
    public TensorData ToTensor() => new([Outputs, Inputs, Size, Size], [.. Kernel.Cast<double>().Select(weight => (float)weight)]);

    /// <summary>Creates a feature map.</summary>
    public static double[,,] CreateMap(int channels, int height, int width, Func<int, int, int, double> value)
    {
        var map = new double[channels, height, width];
        for (int c = 0; c < channels; c++)
        {
            for (int y = 0; y < height; y++)
            {
                for (int x = 0; x < width; x++)
                    map[c, y, x] = value(c, y, x);
            }
        }
        return map;
    }

    private static double[,,,] CreateKernel(int outputs, int inputs, int size, Func<int, int, int, int, double> value)
    {
        var kernel = new double[outputs, inputs, size, size];
        for (int i = 0; i < kernel.Length; i++)
        {
            int x = i % size, y = i / size % size, input = i / (size * size) % inputs, output = i / (size * size * inputs);
            kernel[output, input, y, x] = value(output, input, y, x);
        }
        return kernel;
    }
}

/// <summary>A batch norm in evaluation mode: y = (x - mean) / sqrt(variance + epsilon) * weight + bias, for each channel.</summary>
internal sealed record BatchNorm(float[] Weight, float[] Bias, float[] Mean, float[] Variance)
{
    // PyTorch's default.
    private const double Epsilon = 1e-5;

    public double Scale(int channel) => Weight[channel] / Math.Sqrt(Variance[channel] + Epsilon);

    /// <summary>Computes the batch norm by its definition.</summary>
    public double[,,] Apply(double[,,] input) => Convolution.CreateMap(input.GetLength(0), input.GetLength(1), input.GetLength(2), (c, y, x) =>
        (input[c, y, x] - Mean[c]) / Math.Sqrt(Variance[c] + Epsilon) * Weight[c] + Bias[c]);

    /// <summary>Adds the batch norm to the weights of a network, under PyTorch's names.</summary>
    public void AddTo(StateDict state, string name)
    {
        foreach (var (entry, values) in new[] { ("weight", Weight), ("bias", Bias), ("running_mean", Mean), ("running_var", Variance) })
            state[$"{name}.{entry}"] = new TensorData([values.Length], values);
    }
}
