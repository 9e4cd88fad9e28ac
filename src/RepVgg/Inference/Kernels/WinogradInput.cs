using System.Runtime.CompilerServices;
using RepVgg.Simd;

namespace RepVgg.Inference.Kernels;

/// <summary>Winograd's transform of input tiles, B^T d B; see <see cref="ToomCook{TVector, TLanes}"/>.</summary>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
/// <typeparam name="TStride">The convolution's stride, 1 or 2.</typeparam>
internal static unsafe class WinogradInput<TVector, TLanes, TStride>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
    where TStride : unmanaged, ICount
{
    private const int MaximumSpan = 9;

    private static int MostSamples => 7 - TStride.Value;

    /// <summary>Transforms one tile of one channel block.</summary>
    /// <param name="source">The tile's top left input pixel, one above and left of the one that its first output pixel stands on.</param>
    /// <param name="rowPitch">Floats from one input row to the next.</param>
    /// <param name="target">What <paramref name="at"/> counts from.</param>
    /// <param name="at">Offsets of the tile's values, rows of 6 slots; the sixth is followed by its next columns, a vector each.</param>
    /// <param name="rows">Output rows of the tile, 1 to 4.</param>
    /// <param name="columns">Output columns of the tile, 1 to 4.</param>
    /// <param name="far">Whether the pixels are likely to come from beyond the second-level cache.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transform(
        float* source, nint rowPitch, float* target, nint* at, int rows, int columns, bool far)
    {
        int width = TLanes.Width, pitch = MaximumSpan * width;
        int lineSamples = rows + 3 - TStride.Value, samples = columns + 3 - TStride.Value;
        int span = sizeof(TStride) == 1 ? columns + 2 : 2 * columns + 1;
        // The next tile's pixels, and the values of the tile after it: stores that miss the caches wait
        // for each other, prefetches don't.
        for (int y = 0; far && y < TStride.Value * rows + 2; y++)
        {
            for (int x = span; x < span + TStride.Value * 4; x++)
                Prefetch.Near(source + y * rowPitch + x * width);
        }
        for (int i = 0; i < 36; i++)
            Prefetch.Near(target + at[i] + 2 * width);

        float* space = stackalloc float[6 * pitch + CacheLine.Floats];
        float* half = CacheLine.Align(space);
        nint* slots = stackalloc nint[6];
        for (int i = 0; i < 6; i++)
            slots[i] = i * pitch;
        for (int x = 0; x < span; x++)
            ToomCook<TVector, TLanes>.Analyze(MostSamples, lineSamples, source + x * width, TStride.Value * rowPitch, half + x * width, slots);
        for (int i = 0; i < lineSamples; i++, half += pitch, at += 6)
            TransformLine(half, target, at, samples, columns);
        if (sizeof(TStride) == 1)
            return;
        at += 6 * (5 - lineSamples);
        for (int y = 0; y < rows; y++, at += 6)
            TransformLine(source + (2 * y + 1) * rowPitch, target, at, samples, columns);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TransformLine(float* source, float* target, nint* at, int samples, int columns)
    {
        int width = TLanes.Width;
        ToomCook<TVector, TLanes>.Analyze(MostSamples, samples, source, TStride.Value * width, target, at);
        if (sizeof(TStride) == 1)
            return;
        for (int x = 0; x < columns; x++)
            TLanes.Store(target + at[5] + x * width, TLanes.Load(source + (2 * x + 1) * width));
    }
}
