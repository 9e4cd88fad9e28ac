namespace RepVgg.Formats.Onnx;

/// <summary>What a sum of convolutions, batch norms and skips does to one map: a 3x3 convolution, or a scale per channel.</summary>
/// <remarks>The algebra is RepVGG's, section 3.3; held in double precision.</remarks>
internal sealed class LinearForm
{
    private const int Taps = 9;
    private const int Center = 4;

    private LinearForm(string source, double[] kernel, double[]? bias, int inputsPerGroup, int stride, int groups)
    {
        (Source, Kernel, Bias, InputsPerGroup, Stride, Groups) = (source, kernel, bias, inputsPerGroup, stride, groups);
    }

    /// <summary>Name of the map that it reads.</summary>
    public string Source { get; }

    /// <summary>OIHW; empty for a scale per channel.</summary>
    public double[] Kernel { get; }

    /// <summary>[O]; null for the map itself, whose channels are not known here.</summary>
    public double[]? Bias { get; }

    /// <summary>Input channels of one group; 0 for a scale per channel.</summary>
    public int InputsPerGroup { get; }

    public int Stride { get; }

    public int Groups { get; }

    /// <summary>The scale per channel where there is no kernel; null is all ones.</summary>
    private double[]? Scale { get; init; }

    private bool IsDiagonal => InputsPerGroup == 0;

    /// <summary>Whether this is a convolution.</summary>
    public bool IsConvolution => !IsDiagonal;

    public int OutputChannels => Bias?.Length ?? 0;

    public int InputChannels => InputsPerGroup * Groups;

    /// <summary>The map as it is.</summary>
    public static LinearForm Skip(string source) => new(source, [], null, 0, 1, 1);

    /// <summary>A convolution of 3x3 taps, or of one tap that is put in the centre.</summary>
    public static LinearForm Convolution(string source, float[] kernel, int outputs, int inputsPerGroup, int size, int stride, int groups, float[]? bias)
    {
        var taps = new double[(long)outputs * inputsPerGroup * Taps];
        if (size == 3)
        {
            for (int i = 0; i < taps.Length; i++)
                taps[i] = kernel[i];
        }
        else
        {
            for (int i = 0; i < kernel.Length; i++)
                taps[i * Taps + Center] = kernel[i];
        }
        return new LinearForm(source, taps, bias is null ? new double[outputs] : Array.ConvertAll(bias, value => (double)value), inputsPerGroup, stride, groups);
    }

    /// <summary>Followed by y -> scale * y + shift, per channel.</summary>
    /// <exception cref="InvalidDataException">The channels differ.</exception>
    public LinearForm Then(double[] scale, double[] shift)
    {
        if (Bias is not null && Bias.Length != scale.Length)
            throw new InvalidDataException($"a batch norm of {scale.Length} channels follows {Bias.Length} channels");
        var bias = new double[scale.Length];
        for (int o = 0; o < bias.Length; o++)
            bias[o] = (Bias?[o] ?? 0) * scale[o] + shift[o];
        if (IsDiagonal)
        {
            var product = Scale is null ? scale : [.. Scale.Zip(scale, (left, right) => left * right)];
            return new LinearForm(Source, [], bias, 0, 1, 1) { Scale = product };
        }
        var kernel = new double[Kernel.Length];
        int row = InputsPerGroup * Taps;
        for (int i = 0; i < kernel.Length; i++)
            kernel[i] = Kernel[i] * scale[i / row];
        return new LinearForm(Source, kernel, bias, InputsPerGroup, Stride, Groups);
    }

    /// <summary>The sum of two forms of the same map.</summary>
    /// <exception cref="InvalidDataException">They do not fit together.</exception>
    public LinearForm Plus(LinearForm other)
    {
        if (Source != other.Source)
            throw new InvalidDataException($"branches that read '{Source}' and '{other.Source}' are added");
        if (IsDiagonal && other.IsDiagonal)
            throw new InvalidDataException($"two skips of '{Source}' are added without a convolution");
        if (IsDiagonal)
            return other.Plus(this);

        var kernel = (double[])Kernel.Clone();
        var bias = (double[])Bias!.Clone();
        if (other.Bias is not null && other.Bias.Length != bias.Length)
            throw new InvalidDataException($"branches of {bias.Length} and {other.Bias.Length} channels are added");
        for (int o = 0; o < bias.Length; o++)
            bias[o] += other.Bias?[o] ?? 0;
        if (other.IsConvolution)
        {
            if (other.InputsPerGroup != InputsPerGroup || other.Stride != Stride || other.Groups != Groups)
                throw new InvalidDataException($"convolutions of '{Source}' that differ in channels, stride or groups are added");
            for (int i = 0; i < kernel.Length; i++)
                kernel[i] += other.Kernel[i];
        }
        else
        {
            if (Stride != 1 || bias.Length != InputChannels)
                throw new InvalidDataException($"a skip of '{Source}' is added to a convolution of another shape");
            for (int o = 0; o < bias.Length; o++)
                kernel[(o * InputsPerGroup + o % InputsPerGroup) * Taps + Center] += other.Scale?[o] ?? 1;
        }
        return new LinearForm(Source, kernel, bias, InputsPerGroup, Stride, Groups);
    }
}
