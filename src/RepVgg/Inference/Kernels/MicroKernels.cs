using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.Arm;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Kernels;

/// <summary>Divides rows into groups whose register tile fits in the registers, and selects the micro-kernels for them.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal static unsafe class MicroKernels<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, IMultiplyAddLanes<TVector>
{
    // Maximum number of accumulators. AVX-512 and NEON have 32 vector registers, AVX2 and SSE have 16; they must hold the
    // accumulators, the vectors of weights and one broadcast input.
    private static int MaximumAccumulators => TLanes.Width == 16 || AdvSimd.IsSupported ? 24 : 12;

    /// <summary>Divides rows into groups of nearly the same size for a <see cref="GemmKernel{TVector, TLanes, TVectors, TRows}"/>.</summary>
    /// <param name="vectors">Vectors of output channels, 1 to 3.</param>
    /// <param name="count">Number of rows; for 0 the result has no groups.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static RowGroups Divide(int vectors, int count) => vectors switch
    {
        1 => RowGroups.Divide<GemmKernelTable<One>>(count, MaximumAccumulators),
        2 => RowGroups.Divide<GemmKernelTable<Two>>(count, MaximumAccumulators / 2),
        _ => RowGroups.Divide<GemmKernelTable<Three>>(count, MaximumAccumulators / 3),
    };

    private readonly struct GemmKernelTable<TVectors> : IKernelTable
        where TVectors : unmanaged, ICount
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public static delegate*<GemmArguments*, int, void> OfRows(int rows) => rows switch
        {
            1 => &GemmKernel<TVector, TLanes, TVectors, One>.Run,
            2 => &GemmKernel<TVector, TLanes, TVectors, Two>.Run,
            3 => &GemmKernel<TVector, TLanes, TVectors, Three>.Run,
            4 => &GemmKernel<TVector, TLanes, TVectors, Four>.Run,
            5 => &GemmKernel<TVector, TLanes, TVectors, Five>.Run,
            6 => &GemmKernel<TVector, TLanes, TVectors, Six>.Run,
            7 => &GemmKernel<TVector, TLanes, TVectors, Seven>.Run,
            8 => &GemmKernel<TVector, TLanes, TVectors, Eight>.Run,
            9 => &GemmKernel<TVector, TLanes, TVectors, Nine>.Run,
            10 => &GemmKernel<TVector, TLanes, TVectors, Ten>.Run,
            11 => &GemmKernel<TVector, TLanes, TVectors, Eleven>.Run,
            _ => &GemmKernel<TVector, TLanes, TVectors, Twelve>.Run,
        };
    }
}

/// <summary>Constants of panels that do not depend on the vector type.</summary>
internal static class MicroKernels
{
    /// <summary>Maximum number of vectors of output channels in one panel.</summary>
    public const int MaximumVectors = 3;

    /// <summary>Zeros as initial values of sums, for the largest panel and vector. The array is pinned.</summary>
    public static readonly float[] Zeros = GC.AllocateArray<float>(MaximumVectors * 16, pinned: true);
}

/// <summary>Micro-kernels for each number of rows.</summary>
internal unsafe interface IKernelTable
{
    /// <summary>The kernel for a number of rows, 1 or more.</summary>
    static abstract delegate*<GemmArguments*, int, void> OfRows(int rows);
}

/// <summary>Groups of rows and the micro-kernels that multiply them; see <see cref="MicroKernels{TVector, TLanes}.Divide"/>.</summary>
/// <param name="larger">Number of groups that have one row more than the others; they come first.</param>
/// <param name="largerKernel">Kernel of the larger groups.</param>
/// <param name="smaller">Number of the other groups.</param>
/// <param name="smallerKernel">Kernel of the smaller groups.</param>
internal readonly unsafe struct RowGroups(
    int larger, delegate*<GemmArguments*, int, void> largerKernel, int smaller, delegate*<GemmArguments*, int, void> smallerKernel)
{
    /// <summary>Divides rows into groups of nearly the same size.</summary>
    /// <typeparam name="TTable">The kernels.</typeparam>
    /// <param name="count">Number of rows; for 0 the result has no groups.</param>
    /// <param name="maximumRows">Maximum number of rows in a group.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static RowGroups Divide<TTable>(int count, int maximumRows)
        where TTable : IKernelTable
    {
        if (count == 0)
            return default;
        maximumRows = Math.Min(maximumRows, 12);
        int groups = count <= maximumRows ? 1 : (count + maximumRows - 1) / maximumRows;
        int rows = groups == 1 ? count : count / groups, larger = count - rows * groups;
        return new RowGroups(larger, larger > 0 ? TTable.OfRows(rows + 1) : null, groups - larger, TTable.OfRows(rows));
    }

    /// <summary>Makes the next call of <see cref="Run"/> prefetch a range of memory to the L2 cache, evenly over its loop iterations.</summary>
    /// <param name="arguments">Operands of that call; the panel, the segment count and the depth must be set.</param>
    /// <param name="prefetch">Start of the range.</param>
    /// <param name="floats">Length of the range in floats; 0 for no prefetch.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetPrefetch(GemmArguments* arguments, float* prefetch, nint floats)
    {
        int steps = (larger + smaller) * arguments->SegmentCount * arguments->Depth;
        // The kernels always execute a prefetch. If there is nothing to prefetch, it is the start of the panel, which is in
        // use anyway.
        bool none = floats == 0 || steps == 0;
        arguments->PrefetchAddress = none ? arguments->Panel : prefetch;
        arguments->PrefetchStep = none ? 0 : ((int)floats + steps - 1) / steps;
    }

    /// <summary>Multiplies all rows.</summary>
    /// <param name="arguments">Operands of the first group; on return, they point behind the last row.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Run(GemmArguments* arguments)
    {
        if (larger > 0)
            largerKernel(arguments, larger);
        if (smaller > 0)
            smallerKernel(arguments, smaller);
    }
}
