using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.Arm;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Kernels;

/// <summary>Divides rows into groups whose register tile fits in the registers, and selects the micro-kernels for them.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal static unsafe class Panels<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    // Maximum number of accumulators. AVX-512 and NEON have 32 vector registers, AVX2 and SSE have 16; they must hold the
    // accumulators, the vectors of weights and one broadcast input.
    private static int MaximumSums => TLanes.Width == 16 || AdvSimd.IsSupported ? 24 : 12;

    /// <summary>
    /// Whether to use <see cref="PointKernel{TVector, TLanes, TPoints, TVectors, TRows}"/>. It needs 32 vector registers and
    /// additions that run in parallel with multiply-adds. Otherwise it is faster to transform the filters beforehand.
    /// </summary>
    public static bool MakePoints => TLanes.Width == 16 && Processor.AddsBesideMultiplyAdds;

    /// <summary>Number of vectors per panel that makes the best use of the registers for Winograd convolutions.</summary>
    public static int VectorsOfPoints => MakePoints ? 2 : Panels.MaximumVectors;

    /// <summary>Divides rows into groups of nearly the same size for a <see cref="PanelKernel{TVector, TLanes, TVectors, TRows}"/>.</summary>
    /// <param name="vectors">Vectors of output channels, 1 to 3.</param>
    /// <param name="count">Number of rows; for 0 the result has no groups.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static RowGroups Cut(int vectors, int count) => vectors switch
    {
        1 => Cut<PanelKernels<One>>(count, MaximumSums),
        2 => Cut<PanelKernels<Two>>(count, MaximumSums / 2),
        _ => Cut<PanelKernels<Three>>(count, MaximumSums / 3),
    };

    /// <summary>Divides rows into groups of nearly the same size for a <see cref="PointKernel{TVector, TLanes, TPoints, TVectors, TRows}"/>.</summary>
    /// <param name="points">Number of points, 1 or 2.</param>
    /// <param name="vectors">Vectors of output channels, 1 to 3.</param>
    /// <param name="count">Number of rows at each point; for 0 the result has no groups.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static RowGroups CutPoints(int points, int vectors, int count) => (points, vectors) switch
    {
        // Tested first, so that no function pointer is taken and no kernel is compiled if there are no rows.
        _ when count == 0 => default,
        (1, 1) => Cut<PointKernels<One, One>>(count, 6),
        (1, 2) => Cut<PointKernels<One, Two>>(count, 6),
        (1, _) => Cut<PointKernels<One, Three>>(count, 3),
        (_, 1) => Cut<PointKernels<Two, One>>(count, 6),
        (_, 2) => Cut<PointKernels<Two, Two>>(count, 6),
        _ => Cut<PointKernels<Two, Three>>(count, 3),
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static RowGroups Cut<TKernels>(int count, int most)
        where TKernels : IKernels
    {
        if (count == 0)
            return default;
        most = Math.Min(most, 12);
        int groups = count <= most ? 1 : (count + most - 1) / most;
        int rows = groups == 1 ? count : count / groups, larger = count - rows * groups;
        return new RowGroups(larger, larger > 0 ? TKernels.OfRows(rows + 1) : null, groups - larger, TKernels.OfRows(rows));
    }

    private interface IKernels
    {
        static abstract delegate*<PanelArguments*, int, void> OfRows(int rows);
    }

    private readonly struct PanelKernels<TVectors> : IKernels
        where TVectors : unmanaged, ICount
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public static delegate*<PanelArguments*, int, void> OfRows(int rows) => rows switch
        {
            1 => &PanelKernel<TVector, TLanes, TVectors, One>.Run,
            2 => &PanelKernel<TVector, TLanes, TVectors, Two>.Run,
            3 => &PanelKernel<TVector, TLanes, TVectors, Three>.Run,
            4 => &PanelKernel<TVector, TLanes, TVectors, Four>.Run,
            5 => &PanelKernel<TVector, TLanes, TVectors, Five>.Run,
            6 => &PanelKernel<TVector, TLanes, TVectors, Six>.Run,
            7 => &PanelKernel<TVector, TLanes, TVectors, Seven>.Run,
            8 => &PanelKernel<TVector, TLanes, TVectors, Eight>.Run,
            9 => &PanelKernel<TVector, TLanes, TVectors, Nine>.Run,
            10 => &PanelKernel<TVector, TLanes, TVectors, Ten>.Run,
            11 => &PanelKernel<TVector, TLanes, TVectors, Eleven>.Run,
            _ => &PanelKernel<TVector, TLanes, TVectors, Twelve>.Run,
        };
    }

    private readonly struct PointKernels<TPoints, TVectors> : IKernels
        where TPoints : unmanaged, ICount
        where TVectors : unmanaged, ICount
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public static delegate*<PanelArguments*, int, void> OfRows(int rows) => rows switch
        {
            1 => &PointKernel<TVector, TLanes, TPoints, TVectors, One>.Run,
            2 => &PointKernel<TVector, TLanes, TPoints, TVectors, Two>.Run,
            3 => &PointKernel<TVector, TLanes, TPoints, TVectors, Three>.Run,
            4 => &PointKernel<TVector, TLanes, TPoints, TVectors, Four>.Run,
            5 => &PointKernel<TVector, TLanes, TPoints, TVectors, Five>.Run,
            _ => &PointKernel<TVector, TLanes, TPoints, TVectors, Six>.Run,
        };
    }
}

/// <summary>Constants of panels that do not depend on the vector type.</summary>
internal static class Panels
{
    /// <summary>Maximum number of vectors of output channels in one panel.</summary>
    public const int MaximumVectors = 3;

    /// <summary>Zeros as initial values of sums, for the largest panel and vector. The array is pinned.</summary>
    public static readonly float[] Zeros = GC.AllocateArray<float>(MaximumVectors * 16, pinned: true);
}
