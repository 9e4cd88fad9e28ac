using System.Runtime.CompilerServices;
using RepVgg.Simd;

namespace RepVgg.Inference.Kernels;

/// <summary>Winograd's transform of input tiles, B^T d B; see <see cref="ToomCook{TVector, TLanes}"/>.</summary>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal static unsafe class WinogradInput<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private const int Points = 6;

    /// <summary>Transforms one tile of one channel block.</summary>
    /// <param name="source">The tile's top left input pixel, one above and left of its first output pixel.</param>
    /// <param name="rowPitch">Floats from one input row to the next.</param>
    /// <param name="target">What <paramref name="at"/> counts from.</param>
    /// <param name="at">Offsets of the tile's values, [point of the row][point of the column].</param>
    /// <param name="rows">Output rows of the tile, 1 to 4.</param>
    /// <param name="columns">Output columns of the tile, 1 to 4.</param>
    /// <param name="far">Whether the pixels are likely to come from beyond the second-level cache.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transform(float* source, nint rowPitch, float* target, nint* at, int rows, int columns, bool far)
    {
        int width = TLanes.Width, pitch = Points * width, height = rows + 2, span = columns + 2;
        if (far)
        {
            // The next tile's pixels, and the values of the tile after it: stores that miss the caches wait for each other,
            // prefetches don't.
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
