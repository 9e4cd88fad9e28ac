using System.Runtime.CompilerServices;
using RepVgg.Inference.Simd;

namespace RepVgg.Inference.Kernels;

/// <summary>
/// Winograd's transform of filters, G g G^T without the scale factors, a row of six points at a time; see
/// <see cref="WinogradInput{TVector, TLanes}"/>.
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
    /// <summary>Transforms a panel's filters for the six points of one row.</summary>
    /// <param name="source">[input channel][ky][kx][vector][lane].</param>
    /// <param name="channels">Input channels.</param>
    /// <param name="vectors">Vectors of output channels.</param>
    /// <param name="row">Row of points, 0 to 5.</param>
    /// <param name="target">[point of the row][input channel][vector][lane].</param>
    /// <param name="pointPitch">Floats from one point to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void TransformRow(float* source, int channels, int vectors, int row, float* target, nint pointPitch)
    {
        int pitch = vectors * TLanes.Width;
        if (row is 0 or 5)
        {
            // The point 0 takes the filter's first row, infinity its last.
            source += row == 0 ? 0 : 6 * pitch;
            for (int c = 0; c < channels; c++, source += 9 * pitch, target += pitch)
            {
                for (int o = 0; o < pitch; o += TLanes.Width)
                {
                    float* g = source + o;
                    Spread(TLanes.Load(g), TLanes.Load(g + pitch), TLanes.Load(g + 2 * pitch), target + o, pointPitch);
                }
            }
            return;
        }
        float point = row switch { 1 => 1, 2 => -1, 3 => 2, _ => -2 };
        TVector first = TLanes.Broadcast(point), second = TLanes.Broadcast(point * point);
        for (int c = 0; c < channels; c++, source += 9 * pitch, target += pitch)
        {
            for (int o = 0; o < pitch; o += TLanes.Width)
            {
                float* g = source + o;
                TVector h0 = Evaluate(g, 3 * pitch, first, second);
                TVector h1 = Evaluate(g + pitch, 3 * pitch, first, second);
                TVector h2 = Evaluate(g + 2 * pitch, 3 * pitch, first, second);
                Spread(h0, h1, h2, target + o, pointPitch);
            }
        }
    }

    // g0 + x g1 + x^2 g2
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Evaluate(float* g, nint step, TVector x, TVector square) =>
        TLanes.MultiplyAdd(x, TLanes.Load(g + step), TLanes.MultiplyAdd(square, TLanes.Load(g + 2 * step), TLanes.Load(g)));

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
