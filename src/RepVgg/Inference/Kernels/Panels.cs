using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.Arm;
using RepVgg.Simd;

namespace RepVgg.Inference.Kernels;

/// <summary>Cuts any number of rows into groups that fit the registers, and picks the kernels for them.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal static unsafe class Panels<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    // AVX-512 and NEON have 32 vector registers, AVX2 and SSE 16: sums, a panel's vectors and one broadcast must fit.
    private static int MaximumSums => TLanes.Width == 16 || AdvSimd.IsSupported ? 24 : 12;

    /// <summary>Cuts rows into groups of nearly the same size.</summary>
    /// <param name="vectors">Vectors of output channels, 1 to 3.</param>
    /// <param name="count">Rows; 0 makes groups that do nothing.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static RowGroups Cut(int vectors, int count)
    {
        if (count == 0)
            return default;
        int most = Math.Min(MaximumSums / vectors, 12), groups = (count + most - 1) / most;
        int rows = count / groups, larger = count - rows * groups;
        return new RowGroups(larger, larger > 0 ? Kernel(vectors, rows + 1) : null, groups - larger, Kernel(vectors, rows));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static delegate*<PanelArguments*, int, void> Kernel(int vectors, int rows) => vectors switch
    {
        1 => Kernel<One>(rows),
        2 => Kernel<Two>(rows),
        _ => Kernel<Three>(rows),
    };

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static delegate*<PanelArguments*, int, void> Kernel<TVectors>(int rows)
        where TVectors : unmanaged, ICount => rows switch
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

/// <summary>What holds for panels of every vector type.</summary>
internal static class Panels
{
    /// <summary>Vectors of output channels that one panel has at most.</summary>
    public const int MaximumVectors = 3;

    /// <summary>A panel's vectors of zeros, for sums that start from nothing; at an address that stays.</summary>
    public static readonly float[] Zeros = GC.AllocateArray<float>(MaximumVectors * 16, pinned: true);
}
