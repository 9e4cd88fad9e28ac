using RepVgg.Backends.Cpu.Execution;

namespace RepVgg.Backends.Cpu.Operations;

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
