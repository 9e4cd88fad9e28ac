using System.Runtime.CompilerServices;
using RepVgg.Simd;

namespace RepVgg.Inference.Kernels;

/// <summary>
/// Winograd's transform of filters, G g G^T without the scale factors; see <see cref="WinogradInput{TVector, TLanes}"/>.
/// </summary>
/// <remarks>
/// It runs while the network runs: nine numbers a filter come from memory instead of 36, which at small batches
/// costs less than reading the transformed filters would, and the weights are held once.
/// </remarks>
/// <typeparam name="TVector">The vector type; lanes are output channels.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal static unsafe class WinogradFilter<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    /// <summary>Transforms a panel's filters.</summary>
    /// <param name="source">[input channel][ky][kx][vector][lane].</param>
    /// <param name="channels">Input channels.</param>
    /// <param name="vectors">Vectors of output channels.</param>
    /// <param name="target">[point][input channel][vector][lane].</param>
    /// <param name="pointPitch">Floats from one point to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transform(float* source, int channels, int vectors, float* target, nint pointPitch)
    {
        int pitch = vectors * TLanes.Width;
        nint rowPitch = 6 * pointPitch;
        TVector two = TLanes.Broadcast(2f), four = TLanes.Broadcast(4f);
        for (int c = 0; c < channels; c++, source += 8 * pitch)
        {
            for (int o = 0; o < vectors; o++, source += TLanes.Width, target += TLanes.Width)
            {
                TVector g0 = TLanes.Load(source), g1 = TLanes.Load(source + pitch), g2 = TLanes.Load(source + 2 * pitch);
                TVector g3 = TLanes.Load(source + 3 * pitch), g4 = TLanes.Load(source + 4 * pitch), g5 = TLanes.Load(source + 5 * pitch);
                TVector g6 = TLanes.Load(source + 6 * pitch), g7 = TLanes.Load(source + 7 * pitch), g8 = TLanes.Load(source + 8 * pitch);
                // Stores that miss the first-level cache wait for each other; prefetches don't.
                for (float* ahead = target + 2 * TLanes.Width, end = ahead + 36 * pointPitch; ahead < end; ahead += pointPitch)
                    Prefetch.Near(ahead);
                float* row = target;
                Spread(g0, g1, g2, row, pointPitch);
                row += rowPitch;
                TVector e0 = TLanes.Add(g0, g6), e1 = TLanes.Add(g1, g7), e2 = TLanes.Add(g2, g8);
                Spread(TLanes.Add(e0, g3), TLanes.Add(e1, g4), TLanes.Add(e2, g5), row, pointPitch);
                row += rowPitch;
                Spread(TLanes.Subtract(e0, g3), TLanes.Subtract(e1, g4), TLanes.Subtract(e2, g5), row, pointPitch);
                row += rowPitch;
                e0 = TLanes.MultiplyAdd(four, g6, g0);
                e1 = TLanes.MultiplyAdd(four, g7, g1);
                e2 = TLanes.MultiplyAdd(four, g8, g2);
                g3 = TLanes.Multiply(two, g3);
                g4 = TLanes.Multiply(two, g4);
                g5 = TLanes.Multiply(two, g5);
                Spread(TLanes.Add(e0, g3), TLanes.Add(e1, g4), TLanes.Add(e2, g5), row, pointPitch);
                row += rowPitch;
                Spread(TLanes.Subtract(e0, g3), TLanes.Subtract(e1, g4), TLanes.Subtract(e2, g5), row, pointPitch);
                Spread(g6, g7, g8, row + rowPitch, pointPitch);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Spread(TVector h0, TVector h1, TVector h2, float* target, nint pitch)
    {
        TVector two = TLanes.Broadcast(2f), four = TLanes.Broadcast(4f);
        TVector ones = TLanes.Add(h0, h2), twos = TLanes.MultiplyAdd(four, h2, h0);
        TVector slope = TLanes.Multiply(two, h1);
        TLanes.Store(target, h0);
        TLanes.Store(target + pitch, TLanes.Add(ones, h1));
        TLanes.Store(target + 2 * pitch, TLanes.Subtract(ones, h1));
        TLanes.Store(target + 3 * pitch, TLanes.Add(twos, slope));
        TLanes.Store(target + 4 * pitch, TLanes.Subtract(twos, slope));
        TLanes.Store(target + 5 * pitch, h2);
    }
}
