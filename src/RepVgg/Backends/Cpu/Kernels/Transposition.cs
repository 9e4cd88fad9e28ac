using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using RepVgg.Runtime.Simd;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>Transposition of matrices of floats, in blocks of 4x4.</summary>
internal static unsafe class Transposition
{
    private const int Block = 4;

    /// <summary>Transposes a matrix: target[c, r] (+)= source[r, c].</summary>
    /// <param name="source">The first row of the source.</param>
    /// <param name="sourceStride">Floats from one row of the source to the next.</param>
    /// <param name="rows">Number of rows of the source.</param>
    /// <param name="columns">Number of columns of the source, which are consecutive floats.</param>
    /// <param name="target">The first row of the target, which receives the first column of the source.</param>
    /// <param name="targetStride">Floats from one row of the target to the next.</param>
    /// <param name="accumulate">True to add to the target; false to overwrite it.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(float* source, nint sourceStride, int rows, int columns, float* target, nint targetStride, bool accumulate = false)
    {
        bool blocks = columns >= Block && (Sse.IsSupported || AdvSimd.Arm64.IsSupported);
        int wholeRows = blocks ? rows / Block * Block : 0, wholeColumns = blocks ? columns / Block * Block : 0;
        for (int r = 0; r < wholeRows; r += Block)
        {
            float* from = source + r * sourceStride;
            float* to = target + r;
            for (int c = 0; c < wholeColumns; c += Block, from += Block, to += Block * targetStride)
            {
                var (x0, x1, x2, x3) = Transpose4x4(Vector128.Load(from), Vector128.Load(from + sourceStride), Vector128.Load(from + 2 * sourceStride), Vector128.Load(from + 3 * sourceStride));
                Store(to, x0, accumulate);
                Store(to + targetStride, x1, accumulate);
                Store(to + 2 * targetStride, x2, accumulate);
                Store(to + 3 * targetStride, x3, accumulate);
            }
        }
        for (int c = 0; c < columns; c++)
            TransposeColumn(source + c, sourceStride, c < wholeColumns ? wholeRows : 0, rows, target + c * targetStride, accumulate);
    }

    /// <summary>
    /// Prefetches a matrix to the second-level cache before it is transposed, so that the cache misses of its rows overlap.
    /// It has no effect without SSE.
    /// </summary>
    /// <param name="first">The first element.</param>
    /// <param name="rows">Number of rows. The dimension with the smaller stride is prefetched as contiguous ranges.</param>
    /// <param name="rowStride">Floats from one row to the next.</param>
    /// <param name="columns">Number of columns.</param>
    /// <param name="columnStride">Floats from one column to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void PrefetchMatrix(float* first, int rows, nint rowStride, int columns, nint columnStride)
    {
        if (rowStride > columnStride)
            (rows, rowStride, columns, columnStride) = (columns, columnStride, rows, rowStride);
        for (int c = 0; c < columns; c++)
            Prefetch.ToL2(first + c * columnStride, rows * rowStride);
    }

    /// <summary>Transposes a 4x4 block: lane j of result i is lane i of argument j.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector128<float> Row0, Vector128<float> Row1, Vector128<float> Row2, Vector128<float> Row3) Transpose4x4(Vector128<float> a, Vector128<float> b, Vector128<float> c, Vector128<float> d)
    {
        if (Sse.IsSupported)
        {
            Vector128<float> ab = Sse.UnpackLow(a, b), cd = Sse.UnpackLow(c, d), ab2 = Sse.UnpackHigh(a, b), cd2 = Sse.UnpackHigh(c, d);
            return (Sse.MoveLowToHigh(ab, cd), Sse.MoveHighToLow(cd, ab), Sse.MoveLowToHigh(ab2, cd2), Sse.MoveHighToLow(cd2, ab2));
        }
        else
        {
            Vector128<float> ac = AdvSimd.Arm64.ZipLow(a, c), bd = AdvSimd.Arm64.ZipLow(b, d), ac2 = AdvSimd.Arm64.ZipHigh(a, c), bd2 = AdvSimd.Arm64.ZipHigh(b, d);
            return (AdvSimd.Arm64.ZipLow(ac, bd), AdvSimd.Arm64.ZipHigh(ac, bd), AdvSimd.Arm64.ZipLow(ac2, bd2), AdvSimd.Arm64.ZipHigh(ac2, bd2));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(float* to, Vector128<float> value, bool accumulate) => (accumulate ? value + Vector128.Load(to) : value).Store(to);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TransposeColumn(float* source, nint sourceStride, int first, int end, float* target, bool accumulate)
    {
        if (accumulate)
        {
            for (int r = first; r < end; r++)
                target[r] += source[r * sourceStride];
        }
        else
        {
            for (int r = first; r < end; r++)
                target[r] = source[r * sourceStride];
        }
    }
}
