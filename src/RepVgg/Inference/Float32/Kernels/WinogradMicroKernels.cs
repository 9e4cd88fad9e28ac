using System.Runtime.CompilerServices;
using RepVgg.Inference.Kernels;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Float32.Kernels;

/// <summary>Selects the micro-kernels of Winograd convolutions that transform the filters while they multiply.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal static unsafe class WinogradMicroKernels<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    /// <summary>
    /// Whether to use <see cref="WinogradGemmKernel{TVector, TLanes, TPoints, TVectors, TRows}"/>. It needs 32 vector registers and
    /// additions that run in parallel with multiply-adds. Otherwise it is faster to transform the filters beforehand.
    /// </summary>
    public static bool FusesFilterTransform => TLanes.Width == 16 && Processor.HasSeparateAddUnits;

    /// <summary>Number of vectors per panel that makes the best use of the registers for Winograd convolutions.</summary>
    public static int PanelVectors => FusesFilterTransform ? 2 : MicroKernels.MaximumVectors;

    /// <summary>Divides rows into groups of nearly the same size for a <see cref="WinogradGemmKernel{TVector, TLanes, TPoints, TVectors, TRows}"/>.</summary>
    /// <param name="points">Number of points, 1 or 2.</param>
    /// <param name="vectors">Vectors of output channels, 1 to 3.</param>
    /// <param name="count">Number of rows at each point; for 0 the result has no groups.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static RowGroups Divide(int points, int vectors, int count) => (points, vectors) switch
    {
        // Tested first, so that no function pointer is taken and no kernel is compiled if there are no rows.
        _ when count == 0 => default,
        (1, 1) => RowGroups.Divide<WinogradGemmKernelTable<One, One>>(count, 6),
        (1, 2) => RowGroups.Divide<WinogradGemmKernelTable<One, Two>>(count, 6),
        (1, _) => RowGroups.Divide<WinogradGemmKernelTable<One, Three>>(count, 3),
        (_, 1) => RowGroups.Divide<WinogradGemmKernelTable<Two, One>>(count, 6),
        (_, 2) => RowGroups.Divide<WinogradGemmKernelTable<Two, Two>>(count, 6),
        _ => RowGroups.Divide<WinogradGemmKernelTable<Two, Three>>(count, 3),
    };

    private readonly struct WinogradGemmKernelTable<TPoints, TVectors> : IKernelTable
        where TPoints : unmanaged, ICount
        where TVectors : unmanaged, ICount
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public static delegate*<GemmArguments*, int, void> OfRows(int rows) => rows switch
        {
            1 => &WinogradGemmKernel<TVector, TLanes, TPoints, TVectors, One>.Run,
            2 => &WinogradGemmKernel<TVector, TLanes, TPoints, TVectors, Two>.Run,
            3 => &WinogradGemmKernel<TVector, TLanes, TPoints, TVectors, Three>.Run,
            4 => &WinogradGemmKernel<TVector, TLanes, TPoints, TVectors, Four>.Run,
            5 => &WinogradGemmKernel<TVector, TLanes, TPoints, TVectors, Five>.Run,
            _ => &WinogradGemmKernel<TVector, TLanes, TPoints, TVectors, Six>.Run,
        };
    }
}
