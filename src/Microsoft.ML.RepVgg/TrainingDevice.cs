using System.Globalization;

namespace Microsoft.ML.RepVgg;

/// <summary>The device on which a network is trained. Scoring always runs on the CPU, with this library's inference engine.</summary>
public readonly record struct TrainingDevice
{
    private enum Kind
    {
        Auto,
        Cpu,
        TorchCpu,
        Cuda,
    }

    private readonly Kind _kind;

    private TrainingDevice(Kind kind, int cudaIndex = 0) => (_kind, CudaIndex) = (kind, cudaIndex);

    /// <summary>The first CUDA device, or the one that <c>MLContext.GpuDeviceId</c> specifies, if it can be used and passes the self-test; otherwise the CPU backend of this library.</summary>
    public static TrainingDevice Auto => default;

    /// <summary>The CPU backend of this library. It has no native dependency, and its results for a given seed are bitwise reproducible.</summary>
    public static TrainingDevice Cpu => new(Kind.Cpu);

    /// <summary>The CPU with libtorch, through TorchSharp. Requires the package TorchSharp-cpu.</summary>
    public static TrainingDevice TorchCpu => new(Kind.TorchCpu);

    internal bool IsAuto => _kind == Kind.Auto;

    internal bool IsCpu => _kind == Kind.Cpu;

    internal bool IsCuda => _kind == Kind.Cuda;

    internal int CudaIndex { get; }

    /// <summary>A CUDA device, through TorchSharp. Requires the package TorchSharp-cuda-windows or TorchSharp-cuda-linux.</summary>
    /// <param name="index">Index of the device, 0 for the first.</param>
    /// <returns>The device.</returns>
    /// <remarks>If the device cannot be used, training falls back to the CPU backend if <c>MLContext.FallbackToCpu</c> is true, and fails otherwise.</remarks>
    public static TrainingDevice Cuda(int index = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        return new TrainingDevice(Kind.Cuda, index);
    }

    /// <inheritdoc/>
    public override string ToString() => IsCuda ? string.Create(CultureInfo.InvariantCulture, $"Cuda({CudaIndex})") : _kind.ToString();
}
