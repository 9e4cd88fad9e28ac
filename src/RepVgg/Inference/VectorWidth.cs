using System.Runtime.Intrinsics;
using RepVgg.Inference.Execution;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference;

/// <summary>The vector width that an engine's kernels use.</summary>
internal enum VectorWidth
{
    /// <summary>4 floats: SSE, NEON, or the software fallback if the processor has neither.</summary>
    Bits128,

    /// <summary>8 floats: AVX2.</summary>
    Bits256,

    /// <summary>16 floats: AVX-512.</summary>
    Bits512,
}

/// <summary>Detection of the vector width and construction of plans for it.</summary>
internal static class VectorWidths
{
    /// <summary>The largest vector width with hardware acceleration on this machine.</summary>
    public static VectorWidth Widest =>
        Vector512.IsHardwareAccelerated ? VectorWidth.Bits512
        : Vector256.IsHardwareAccelerated ? VectorWidth.Bits256
        : VectorWidth.Bits128;

    /// <summary>Floats in one vector.</summary>
    public static int Lanes(this VectorWidth width) => width switch
    {
        VectorWidth.Bits512 => Lanes512.Width,
        VectorWidth.Bits256 => Lanes256.Width,
        _ => Lanes128.Width,
    };

    /// <summary>Builds the plan of a network for a vector width. The weights are not packed yet; see <see cref="Execution.Plan.Fill"/>.</summary>
    /// <param name="width">The vector width.</param>
    /// <param name="network">The network.</param>
    /// <param name="threads">Maximum number of threads for one run.</param>
    /// <param name="choose">Chooses the algorithm of each convolution; <see cref="ConvolutionStrategies.Choose"/> if null.</param>
    public static Plan Plan(this VectorWidth width, NetworkSource network, int threads, StrategyChoice? choose = null) => width switch
    {
        VectorWidth.Bits512 => PlanBuilder<Vector512<float>, Lanes512>.Build(network, threads, choose ?? ConvolutionStrategies.Choose),
        VectorWidth.Bits256 => PlanBuilder<Vector256<float>, Lanes256>.Build(network, threads, choose ?? ConvolutionStrategies.Choose),
        _ => PlanBuilder<Vector128<float>, Lanes128>.Build(network, threads, choose ?? ConvolutionStrategies.Choose),
    };
}
