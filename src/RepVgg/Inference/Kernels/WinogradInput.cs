using System.Runtime.CompilerServices;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Kernels;

/// <summary>Winograd input transform, B^T d B for a tile d of the input; see <see cref="ToomCook{TVector, TLanes}"/>.</summary>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal static unsafe class WinogradInput<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private const int Points = 6;

    /// <summary>Transforms one tile of one channel block.</summary>
    /// <param name="source">The tile's top left input pixel, one row above and one column left of its first output pixel.</param>
    /// <param name="rowPitch">Floats from one input row to the next.</param>
    /// <param name="target">Base address of the transformed values.</param>
    /// <param name="at">Offsets of the tile's values from <paramref name="target"/>, [row point][column point], in floats.</param>
    /// <param name="rows">Output rows of the tile, 1 to 4.</param>
    /// <param name="columns">Output columns of the tile, 1 to 4.</param>
    /// <param name="far">Whether the pixels are likely not in the L2 cache; the pixels of the next tile are then prefetched.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transform(float* source, nint rowPitch, float* target, nint* at, int rows, int columns, bool far)
    {
        int width = TLanes.Width, pitch = Points * width, height = rows + 2, span = columns + 2;
        if (far)
        {
            // Prefetches the input pixels of the next tile and the target of the tile after it. Stores that miss the caches
            // complete one after the other, but prefetches overlap.
            for (int y = 0; y < height; y++)
            {
                for (int x = span; x < span + 4; x++)
                    Prefetch.Near(source + y * rowPitch + x * width);
            }
            for (int i = 0; i < Points * Points; i++)
                Prefetch.Near(target + at[i] + 2 * width);
        }

        float* space = stackalloc float[Points * pitch + CacheLine.Floats];
        float* half = CacheLine.Align(space);
        nint* lines = stackalloc nint[Points];
        for (int i = 0; i < Points; i++)
            lines[i] = i * pitch;
        for (int x = 0; x < span; x++)
            ToomCook<TVector, TLanes>.Analyze(Points, height, source + x * width, rowPitch, half + x * width, lines);
        for (int i = 0; i < height; i++, half += pitch, at += Points)
            ToomCook<TVector, TLanes>.Analyze(Points, span, half, width, target, at);
    }
}
