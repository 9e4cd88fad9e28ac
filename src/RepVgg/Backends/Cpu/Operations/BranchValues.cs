using RepVgg.Architectures;
using RepVgg.Backends.Cpu.Execution;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The parameters of one branch as tensors of the CPU backend, with its scale per channel in evaluation mode.</summary>
internal sealed unsafe class BranchValues
{
    private readonly CpuTensor? _mean, _variance;
    private readonly float _epsilon;
    private readonly int[] _taps;

    private BranchValues(Branch branch)
    {
        Kernel = (CpuTensor?)branch.Kernel;
        ChannelScale = (CpuTensor?)branch.ChannelScale;
        NormalizesFilters = branch.NormalizesFilters;
        int height = branch.KernelHeight, width = branch.KernelWidth;
        _taps = [.. Enumerable.Range(0, height * width).Select(tap => ((3 - height) / 2 + tap / width) * 3 + (3 - width) / 2 + tap % width)];
        if (branch.Norm is not { } norm)
            return;
        (Weight, Bias) = ((CpuTensor)norm.Weight, (CpuTensor)norm.Bias);
        (_mean, _variance, _epsilon) = ((CpuTensor)norm.RunningMean, (CpuTensor)norm.RunningVariance, norm.Epsilon);
    }

    /// <summary>[O, I / groups, height, width]; null for the identity.</summary>
    public CpuTensor? Kernel { get; }

    /// <summary>The batch norm's weight; null without a batch norm.</summary>
    public CpuTensor? Weight { get; }

    /// <summary>The batch norm's bias; null without a batch norm.</summary>
    public CpuTensor? Bias { get; }

    /// <summary>Factor per output channel, [O]; null for 1.</summary>
    public CpuTensor? ChannelScale { get; }

    /// <summary>Whether each filter is divided by its L2 norm.</summary>
    public bool NormalizesFilters { get; }

    public bool HasNorm => Weight is not null;

    /// <summary>Number of kernel values per input and output channel: height * width; 1 for the identity.</summary>
    public int Taps => _taps.Length;

    public static BranchValues[] Of(IReadOnlyList<Branch> branches) => [.. branches.Select(branch => new BranchValues(branch))];

    /// <summary>Whether a parameter on which the scale depends requires a gradient.</summary>
    public bool ScaleRequiresGradient => Weight is { RequiresGradient: true } || ChannelScale is { RequiresGradient: true };

    /// <summary>Scale of the branch: the channel scale, times weight / sqrt(running variance + epsilon) if it has a batch norm.</summary>
    public double ScaleOf(int channel) => ScaleByChannelScale(channel) * ChannelScaleOf(channel);

    /// <summary>Derivative of the scale with respect to the channel scale: the scale without it.</summary>
    public double ScaleByChannelScale(int channel) => Weight is null ? 1 : Weight.Data[channel] * InverseOf(channel);

    /// <summary>Derivative of the scale with respect to the batch norm's weight.</summary>
    public double ScaleByWeight(int channel) => InverseOf(channel) * ChannelScaleOf(channel);

    /// <summary>Bias of the branch: (bias - running mean * weight / sqrt(running variance + epsilon)) * channel scale; 0 without a batch norm.</summary>
    public double ShiftOf(int channel) => ShiftByChannelScale(channel) * ChannelScaleOf(channel);

    /// <summary>Derivative of the shift with respect to the channel scale: the shift without it.</summary>
    public double ShiftByChannelScale(int channel) => Bias is null ? 0 : Bias.Data[channel] - _mean!.Data[channel] * ScaleByChannelScale(channel);

    /// <summary>Derivative of the shift with respect to the batch norm's weight.</summary>
    public double ShiftByWeight(int channel) => -_mean!.Data[channel] * ScaleByWeight(channel);

    /// <summary>Derivative of the shift with respect to the batch norm's bias.</summary>
    public double ShiftByBias(int channel) => ChannelScaleOf(channel);

    /// <summary>The divisor of the filter of one output: its L2 norm, at least <see cref="BranchSpec.SmallestFilterNorm"/>, if the branch normalizes its filters; 1 otherwise.</summary>
    public double DivisorOf(int output)
    {
        if (!NormalizesFilters)
            return 1;
        int count = Kernel!.C * Taps;
        double squares = 0;
        foreach (float value in new ReadOnlySpan<float>(Kernel.Data + (long)output * count, count))
            squares += (double)value * value;
        return Math.Max(Math.Sqrt(squares), BranchSpec.SmallestFilterNorm);
    }

    /// <summary>Index in a 3x3 kernel, from 0 to 8, of one of this branch's <see cref="Taps"/>: the kernel is centred.</summary>
    public int TapOf(int tap) => _taps[tap];

    private double InverseOf(int channel) => 1 / Math.Sqrt((double)_variance!.Data[channel] + _epsilon);

    private double ChannelScaleOf(int channel) => ChannelScale is null ? 1 : ChannelScale.Data[channel];
}

/// <summary>
/// Destination of the gradient of an operation with respect to one input. Nothing is written if the input requires no
/// gradient. Every element must be added exactly once.
/// </summary>
internal readonly unsafe struct GradientTarget
{
    private readonly float* _gradient;
    private readonly bool _accumulate;

    public GradientTarget(CpuTensor tensor) => _gradient = tensor.RequiresGradient ? tensor.GradientForWriting(out _accumulate) : null;

    /// <summary>Returns the destination of an optional input; nothing is written without one.</summary>
    public static GradientTarget Of(CpuTensor? tensor) => tensor is null ? default : new GradientTarget(tensor);

    public void Add(long index, double value)
    {
        if (_gradient is not null)
            _gradient[index] = (float)(value + (_accumulate ? _gradient[index] : 0));
    }
}
