using RepVgg.Networks;

namespace RepVgg.Formats.Onnx;

/// <summary>What a sum of convolutions, batch norms and skips does to one map: a 3x3 convolution, or a scale per channel.</summary>
/// <remarks>The algebra is RepVGG's, section 3.3; in double precision, and not before there is something to compute.</remarks>
internal sealed class LinearForm
{
    private const int Taps = 9;
    private const int Center = 4;

    private readonly WeightSource? _storedKernel;
    private readonly WeightSource? _storedBias;
    private double[]? _kernel;
    private double[]? _bias;

    private LinearForm(string source, double[] kernel, double[]? bias, int inputsPerGroup, int stride, int groups)
        : this(source, bias?.Length ?? 0, inputsPerGroup, stride, groups) => (_kernel, _bias) = (kernel, bias);

    private LinearForm(string source, WeightSource kernel, WeightSource bias, int inputsPerGroup, int stride, int groups)
        : this(source, bias.Length, inputsPerGroup, stride, groups) => (_storedKernel, _storedBias) = (kernel, bias);

    private LinearForm(string source, int outputChannels, int inputsPerGroup, int stride, int groups)
    {
        Source = source;
        OutputChannels = outputChannels;
        InputsPerGroup = inputsPerGroup;
        Stride = stride;
        Groups = groups;
    }

    /// <summary>Name of the map that it reads.</summary>
    public string Source { get; }

    /// <summary>The kernel of a convolution, OIHW: as the file stores it where it is a single convolution.</summary>
    public WeightSource KernelSource => _storedKernel ?? new ComputedWeights(Kernel);

    /// <summary>The bias of a convolution, [O]; likewise.</summary>
    public WeightSource BiasSource => _storedBias ?? new ComputedWeights(Bias!);

    /// <summary>Input channels of one group; 0 for a scale per channel.</summary>
    public int InputsPerGroup { get; }

    public int Stride { get; }

    public int Groups { get; }

    /// <summary>The scale per channel where there is no kernel; null is all ones.</summary>
    private double[]? Scale { get; init; }

    private bool IsDiagonal => InputsPerGroup == 0;

    /// <summary>OIHW; empty for a scale per channel.</summary>
    private double[] Kernel => _kernel ??= Widen(_storedKernel!);

    /// <summary>[O]; null for the map itself.</summary>
    private double[]? Bias => _bias ??= _storedBias is null ? null : Widen(_storedBias);

    /// <summary>Whether this is a convolution.</summary>
    public bool IsConvolution => !IsDiagonal;

    /// <summary>0 for the map itself, whose channels are not known here.</summary>
    public int OutputChannels { get; }

    public int InputChannels => InputsPerGroup * Groups;

    /// <summary>The map as it is.</summary>
    public static LinearForm Skip(string source) => new(source, [], null, 0, 1, 1);

    /// <summary>A convolution of 3x3 taps, or of one tap that is put in the centre.</summary>
    public static LinearForm Convolution(string source, WeightSource kernel, int outputs, int inputsPerGroup, int size, int stride, int groups, WeightSource? bias)
    {
        bias ??= new HeldWeights(new float[outputs]);
        if (size == 3)
            return new LinearForm(source, kernel, bias, inputsPerGroup, stride, groups);
        var taps = new double[(long)outputs * inputsPerGroup * Taps];
        var values = kernel.Read();
        for (int i = 0; i < values.Length; i++)
            taps[i * Taps + Center] = values[i];
        return new LinearForm(source, taps, Widen(bias), inputsPerGroup, stride, groups);
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

    private static double[] Widen(WeightSource source)
    {
        var values = source.Read();
        var widened = new double[values.Length];
        for (int i = 0; i < widened.Length; i++)
            widened[i] = values[i];
        return widened;
    }
}
