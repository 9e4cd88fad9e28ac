using System.Runtime.CompilerServices;
using RepVgg.Simd;

namespace RepVgg.Inference.Kernels;

/// <summary>
/// Winograd's transform of input tiles for 3x3 filters: B^T d B, for tiles of 4 or 2 output pixels a side.
/// </summary>
/// <remarks>
/// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015; the points are 0, 1, -1, 2, -2 and
/// infinity. The scale factors that the paper has in the filter's transform stand here instead, so that a filter's
/// transform at a point is the same for both tile sizes: a tile of 2 uses the points 0, 1, -1 and infinity, slots
/// 0, 1, 2 and 5 of the six, and the same transformed filters serve whole tiles and the smaller ones at the edges.
/// </remarks>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal static unsafe class WinogradInput<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    /// <summary>Transforms one tile of one channel block.</summary>
    /// <param name="source">The tile's top left input pixel, one above and left of its first output pixel.</param>
    /// <param name="rowPitch">Floats from one input row to the next.</param>
    /// <param name="target">Where point 0 goes.</param>
    /// <param name="pointPitch">Floats from one point to the next; point (i, j) is number 6 i + j.</param>
    /// <param name="rows">Output rows of the tile: 4 or 2.</param>
    /// <param name="columns">Output columns of the tile: 4 or 2.</param>
    /// <param name="far">Whether the pixels are likely to come from beyond the second-level cache.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transform(float* source, nint rowPitch, float* target, nint pointPitch, int rows, int columns, bool far)
    {
        int width = TLanes.Width, pitch = 6 * width;
        // The next tile's pixels, and this block's points of the tile after the next: stores that miss the caches wait
        // for each other, prefetches don't.
        for (int y = 0; far && y < rows + 2; y++)
        {
            for (int x = columns + 2; x < columns + 6; x++)
                Prefetch.Near(source + y * rowPitch + x * width);
        }
        for (float* ahead = target + 2 * width, end = ahead + 36 * pointPitch; ahead < end; ahead += pointPitch)
            Prefetch.Near(ahead);
        float* space = stackalloc float[6 * pitch + CacheLine.Floats];
        float* half = CacheLine.Align(space);
        for (int x = 0; x < columns + 2; x++)
        {
            if (rows == 4)
                Four(source + x * width, rowPitch, half + x * width, pitch);
            else
                Two(source + x * width, rowPitch, half + x * width, pitch);
        }
        for (int i = 0; i < 6; i++)
        {
            if (rows == 2 && i is 3 or 4)
                continue;
            if (columns == 4)
                Four(half + i * pitch, width, target + 6 * i * pointPitch, pointPitch);
            else
                Two(half + i * pitch, width, target + 6 * i * pointPitch, pointPitch);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Four(float* source, nint step, float* target, nint pitch)
    {
        TVector d0 = TLanes.Load(source), d1 = TLanes.Load(source + step), d2 = TLanes.Load(source + 2 * step);
        TVector d3 = TLanes.Load(source + 3 * step), d4 = TLanes.Load(source + 4 * step), d5 = TLanes.Load(source + 5 * step);
        TVector quarter = TLanes.Broadcast(0.25f), four = TLanes.Broadcast(4f);
        TVector sixth = TLanes.Broadcast(1f / 6), twentyFourth = TLanes.Broadcast(1f / 24);

        // d0 - 5/4 d2 + 1/4 d4
        TLanes.Store(target, TLanes.MultiplyAdd(quarter, TLanes.Subtract(d4, d2), TLanes.Subtract(d0, d2)));
        // (4 d2 - d4) / 6 plus and minus (4 d1 - d3) / 6
        TVector even = TLanes.Multiply(sixth, TLanes.Subtract(TLanes.Multiply(four, d2), d4));
        TVector odd = TLanes.Multiply(sixth, TLanes.Subtract(TLanes.Multiply(four, d1), d3));
        TLanes.Store(target + pitch, TLanes.Add(even, odd));
        TLanes.Store(target + 2 * pitch, TLanes.Subtract(even, odd));
        // (d4 - d2) / 24 plus and minus (d3 - d1) / 12
        TVector rise = TLanes.Subtract(d3, d1);
        even = TLanes.Multiply(twentyFourth, TLanes.Subtract(d4, d2));
        odd = TLanes.Multiply(twentyFourth, TLanes.Add(rise, rise));
        TLanes.Store(target + 3 * pitch, TLanes.Add(even, odd));
        TLanes.Store(target + 4 * pitch, TLanes.Subtract(even, odd));
        // 4 d1 - 5 d3 + d5
        TLanes.Store(target + 5 * pitch, TLanes.Subtract(TLanes.Subtract(d5, d3), TLanes.Multiply(four, rise)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Two(float* source, nint step, float* target, nint pitch)
    {
        TVector d0 = TLanes.Load(source), d1 = TLanes.Load(source + step);
        TVector d2 = TLanes.Load(source + 2 * step), d3 = TLanes.Load(source + 3 * step);
        TVector half = TLanes.Broadcast(0.5f);
        TLanes.Store(target, TLanes.Subtract(d0, d2));
        TLanes.Store(target + pitch, TLanes.Multiply(half, TLanes.Add(d2, d1)));
        TLanes.Store(target + 2 * pitch, TLanes.Multiply(half, TLanes.Subtract(d2, d1)));
        TLanes.Store(target + 5 * pitch, TLanes.Subtract(d3, d1));
    }
}
