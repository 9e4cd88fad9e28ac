using RepVgg.Backends.Cpu.Execution;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The parameters of one branch as tensors of the CPU backend, with its scale per channel in evaluation mode.</summary>
internal sealed unsafe class BranchValues
{
    private readonly CpuTensor? _mean, _variance;
    private readonly float _epsilon, _factor;

    private BranchValues(Branch branch)
    {
        Kernel = (CpuTensor?)branch.Kernel;
        _factor = branch.Scale;
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

    public bool HasNorm => Weight is not null;

    /// <summary>Number of kernel values per input and output channel: height * width; 1 for the identity.</summary>
    public int Taps => Kernel is null ? 1 : Kernel.H * Kernel.W;

    public static BranchValues[] Of(IReadOnlyList<Branch> branches) => [.. branches.Select(branch => new BranchValues(branch))];

    /// <summary>Derivative of the scale with respect to the batch norm's weight: factor / sqrt(running variance + epsilon).</summary>
    public double InverseOf(int channel) => _factor / Math.Sqrt((double)_variance!.Data[channel] + _epsilon);

    /// <summary>Scale of the branch: the constant factor, times weight / sqrt(running variance + epsilon) if it has a batch norm.</summary>
    public double ScaleOf(int channel) => Weight is null ? _factor : Weight.Data[channel] * InverseOf(channel);

    /// <summary>Bias of the branch: factor * bias - running mean * scale; 0 without a batch norm.</summary>
    public double ShiftOf(int channel) => Bias is null ? 0 : (double)_factor * Bias.Data[channel] - _mean!.Data[channel] * ScaleOf(channel);

    /// <summary>Derivative of the shift with respect to the batch norm's weight.</summary>
    public double ShiftByWeight(int channel) => -_mean!.Data[channel] * InverseOf(channel);

    /// <summary>Derivative of the shift with respect to the batch norm's bias.</summary>
    public double ShiftByBias => _factor;

    /// <summary>Index in a 3x3 kernel, from 0 to 8, of one of this branch's <see cref="Taps"/>: the kernel is centred.</summary>
    public int TapOf(int tap)
    {
        int height = Kernel?.H ?? 1, width = Kernel?.W ?? 1;
        return ((3 - height) / 2 + tap / width) * 3 + (3 - width) / 2 + tap % width;
    }
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
