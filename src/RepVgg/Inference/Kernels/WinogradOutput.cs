using System.Runtime.CompilerServices;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Kernels;

/// <summary>
/// Winograd output transform, A^T m A for the sums m of a tile, with bias and optional ReLU as epilogue; see
/// <see cref="ToomCook{TVector, TLanes}"/>.
/// </summary>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal static unsafe class WinogradOutput<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private const int Points = 6;

    /// <summary>Transforms one tile of one channel block.</summary>
    /// <param name="source">Base address of the sums.</param>
    /// <param name="at">Offsets of the tile's sums from <paramref name="source"/>, [row point][column point], in floats.</param>
    /// <param name="bias">Biases of the block's channels, one vector.</param>
    /// <param name="relu">Whether to apply ReLU.</param>
    /// <param name="target">The tile's first output pixel.</param>
    /// <param name="rowPitch">Floats from one output row to the next.</param>
    /// <param name="rows">Output rows of the tile, 1 to 4.</param>
    /// <param name="columns">Output columns of the tile, 1 to 4.</param>
    /// <param name="far">Whether the output map is likely not in the L2 cache; the target of the next tile is then prefetched.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transform(
        float* source, nint* at, float* bias, bool relu, float* target, nint rowPitch, int rows, int columns, bool far)
    {
        int width = TLanes.Width, pitch = Points * width;
        // Stores that miss the caches complete one after the other, but prefetches overlap.
        for (int y = 0; far && y < rows; y++)
        {
            for (int x = columns; x < columns + 4; x++)
                Prefetch.Near(target + y * rowPitch + x * width);
        }
        float* space = stackalloc float[4 * pitch + CacheLine.Floats];
        float* half = CacheLine.Align(space);
        nint* points = stackalloc nint[Points];
        for (int i = 0; i < Points; i++)
            points[i] = i * width;
        for (int j = 0; j < columns + 2; j++)
        {
            float* column = half + j * width;
            ToomCook<TVector, TLanes>.Synthesize<Three>(rows, source, at + j, Points, out var y0, out var y1, out var y2, out var y3);
            TLanes.Store(column, y0);
            TLanes.Store(column + pitch, y1);
            TLanes.Store(column + 2 * pitch, y2);
            TLanes.Store(column + 3 * pitch, y3);
        }
        TVector offset = TLanes.Load(bias);
        for (int y = 0; y < rows; y++, target += rowPitch, half += pitch)
        {
            ToomCook<TVector, TLanes>.Synthesize<Three>(columns, half, points, 1, out var y0, out var y1, out var y2, out var y3);
            Finish(target, y0, offset, relu);
            if (columns > 1)
                Finish(target + width, y1, offset, relu);
            if (columns > 2)
                Finish(target + 2 * width, y2, offset, relu);
            if (columns > 3)
                Finish(target + 3 * width, y3, offset, relu);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish(float* target, TVector value, TVector offset, bool relu)
    {
        value = TLanes.Add(value, offset);
        TLanes.Store(target, relu ? TLanes.Relu(value) : value);
    }
}
