using System.Runtime.CompilerServices;
using RepVgg.Simd;

namespace RepVgg.Inference.Kernels;

/// <summary>Winograd's transform back to pixels, A^T m A, with bias and ReLU; see <see cref="WinogradInput{TVector, TLanes}"/>.</summary>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal static unsafe class WinogradOutput<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    /// <summary>Transforms one tile of one channel block.</summary>
    /// <param name="source">Point 0 of the tile.</param>
    /// <param name="pointPitch">Floats from one point to the next.</param>
    /// <param name="bias">One vector.</param>
    /// <param name="relu">Whether negative values become zero.</param>
    /// <param name="target">The tile's first output pixel.</param>
    /// <param name="rowPitch">Floats from one output row to the next.</param>
    /// <param name="rows">Output rows of the tile: 4 or 2.</param>
    /// <param name="columns">Output columns of the tile: 4 or 2.</param>
    /// <param name="validRows">How many of them lie on the map.</param>
    /// <param name="validColumns">How many of them lie on the map.</param>
    /// <param name="far">Whether the map is likely to lie beyond the second-level cache.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transform(
        float* source, nint pointPitch, float* bias, bool relu, float* target, nint rowPitch,
        int rows, int columns, int validRows, int validColumns, bool far)
    {
        int width = TLanes.Width, pitch = 6 * width;
        // Stores that miss the caches wait for each other; prefetches, made now for the next tile, don't.
        for (int y = 0; far && y < validRows; y++)
        {
            for (int x = columns; x < columns + 4; x++)
                Prefetch.Near(target + y * rowPitch + x * width);
        }
        float* space = stackalloc float[4 * pitch + 4 * width + CacheLine.Floats];
        float* half = CacheLine.Align(space), pixels = half + 4 * pitch;
        TVector offset = TLanes.Load(bias);
        for (int j = 0; j < 6; j++)
        {
            if (columns == 2 && j is 3 or 4)
                continue;
            if (rows == 4)
                Four(source + j * pointPitch, 6 * pointPitch, half + j * width, pitch);
            else
                Two(source + j * pointPitch, 6 * pointPitch, half + j * width, pitch);
        }
        for (int y = 0; y < validRows; y++, target += rowPitch)
        {
            if (columns == 4)
                Four(half + y * pitch, width, pixels, width);
            else
                Two(half + y * pitch, width, pixels, width);
            for (int x = 0; x < validColumns; x++)
            {
                TVector value = TLanes.Add(TLanes.Load(pixels + x * width), offset);
                TLanes.Store(target + x * width, relu ? TLanes.Relu(value) : value);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Four(float* source, nint step, float* target, nint pitch)
    {
        TVector m1 = TLanes.Load(source + step), m2 = TLanes.Load(source + 2 * step);
        TVector m3 = TLanes.Load(source + 3 * step), m4 = TLanes.Load(source + 4 * step);
        TVector even = TLanes.Add(m1, m2), odd = TLanes.Subtract(m1, m2);
        TVector evenTwo = TLanes.Add(m3, m4), oddTwo = TLanes.Subtract(m3, m4);
        TLanes.Store(target, TLanes.Add(TLanes.Load(source), TLanes.Add(even, evenTwo)));
        TLanes.Store(target + pitch, TLanes.MultiplyAdd(TLanes.Broadcast(2f), oddTwo, odd));
        TLanes.Store(target + 2 * pitch, TLanes.MultiplyAdd(TLanes.Broadcast(4f), evenTwo, even));
        TLanes.Store(target + 3 * pitch, TLanes.MultiplyAdd(TLanes.Broadcast(8f), oddTwo, TLanes.Add(odd, TLanes.Load(source + 5 * step))));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Two(float* source, nint step, float* target, nint pitch)
    {
        TVector m1 = TLanes.Load(source + step), m2 = TLanes.Load(source + 2 * step);
        TLanes.Store(target, TLanes.Add(TLanes.Load(source), TLanes.Add(m1, m2)));
        TLanes.Store(target + pitch, TLanes.Add(TLanes.Subtract(m1, m2), TLanes.Load(source + 5 * step)));
    }
}
