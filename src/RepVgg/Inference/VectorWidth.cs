using System.Runtime.Intrinsics;
using RepVgg.Inference.Execution;
using RepVgg.Networks;
using RepVgg.Simd;

namespace RepVgg.Inference;

/// <summary>The vector width that an engine's kernels use.</summary>
internal enum VectorWidth
{
    /// <summary>4 floats: SSE, NEON, and software where there is neither.</summary>
    Bits128,

    /// <summary>8 floats: AVX2.</summary>
    Bits256,

    /// <summary>16 floats: AVX-512.</summary>
    Bits512,
}

/// <summary>Choice of the vector width, and plans for it.</summary>
internal static class VectorWidths
{
    /// <summary>The widest that this machine runs in hardware.</summary>
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

    /// <summary>Plans a network for a width. Its weights are still to be filled in: <see cref="Execution.Plan.Fill"/>.</summary>
    /// <param name="width">The width.</param>
    /// <param name="network">The network.</param>
    /// <param name="threads">Threads that will share a run.</param>
    /// <param name="choose">Picks each convolution's strategy; <see cref="ConvolutionStrategies.Choose"/> if null.</param>
    public static Plan Plan(this VectorWidth width, NetworkSource network, int threads, StrategyChoice? choose = null) => width switch
    {
        VectorWidth.Bits512 => PlanBuilder<Vector512<float>, Lanes512>.Build(network, threads, choose ?? ConvolutionStrategies.Choose),
        VectorWidth.Bits256 => PlanBuilder<Vector256<float>, Lanes256>.Build(network, threads, choose ?? ConvolutionStrategies.Choose),
        _ => PlanBuilder<Vector128<float>, Lanes128>.Build(network, threads, choose ?? ConvolutionStrategies.Choose),
    };
}
