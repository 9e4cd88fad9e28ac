namespace RepVgg.Reparameterization;

/// <summary>The running statistics and affine parameters of one batch normalisation, as plain values.</summary>
internal readonly record struct NormValues(float[] Weight, float[] Bias, float[] Mean, float[] Variance, double Epsilon)
{
    public double ScaleOf(int channel) => Weight[channel] / Math.Sqrt(Variance[channel] + Epsilon);

    public double ShiftOf(int channel) => Bias[channel] - Mean[channel] * ScaleOf(channel);
}

/// <summary>Sums branches into one 3x3 kernel and bias, in double precision.</summary>
/// <remarks>Source: RepVGG, section 3.3: BN(W * x) = (g / s) W * x + (b - m g / s), a 1x1 kernel is a 3x3 one with a zero border, the identity is a 1x1 kernel that is a unit matrix.</remarks>
internal sealed class BranchAlgebra
{
    private const int Taps = 9;
    private const int Center = 4;

    private readonly int _inputsPerGroup;
    private readonly double[] _kernel;
    private readonly double[] _bias;

    /// <summary>Starts with a zero kernel of OutputChannels x InputChannels / Groups x 3 x 3.</summary>
    public BranchAlgebra(int inputChannels, int outputChannels, int groups)
    {
        _inputsPerGroup = inputChannels / groups;
        _kernel = new double[(long)outputChannels * _inputsPerGroup * Taps];
        _bias = new double[outputChannels];
    }

    /// <summary>Adds BN(conv3x3(x)).</summary>
    public void Add3x3(float[] kernel, NormValues norm)
    {
        int row = _inputsPerGroup * Taps;
        for (int o = 0; o < _bias.Length; o++)
        {
            double scale = norm.ScaleOf(o);
            for (int i = o * row; i < (o + 1) * row; i++)
                _kernel[i] += kernel[i] * scale;
            _bias[o] += norm.ShiftOf(o);
        }
    }

    /// <summary>Adds BN(conv1x1(x)).</summary>
    public void Add1x1(float[] kernel, NormValues norm)
    {
        for (int o = 0; o < _bias.Length; o++)
        {
            double scale = norm.ScaleOf(o);
            for (int i = o * _inputsPerGroup; i < (o + 1) * _inputsPerGroup; i++)
                _kernel[i * Taps + Center] += kernel[i] * scale;
            _bias[o] += norm.ShiftOf(o);
        }
    }

    /// <summary>Adds BN(x); within a group, output o reads input o mod (channels / groups).</summary>
    public void AddIdentity(NormValues norm)
    {
        for (int o = 0; o < _bias.Length; o++)
        {
            _kernel[(o * _inputsPerGroup + o % _inputsPerGroup) * Taps + Center] += norm.ScaleOf(o);
            _bias[o] += norm.ShiftOf(o);
        }
    }

    /// <summary>The sum so far, rounded to single precision.</summary>
    public (float[] Kernel, float[] Bias) Round() => (Array.ConvertAll(_kernel, value => (float)value), Array.ConvertAll(_bias, value => (float)value));
}
