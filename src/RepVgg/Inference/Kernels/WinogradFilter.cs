using System.Runtime.CompilerServices;
using RepVgg.Simd;

namespace RepVgg.Inference.Kernels;

/// <summary>
/// The second half of Winograd's transform of filters, G g G^T; see <see cref="ToomCook{TVector, TLanes}"/>. The first
/// half, along the columns, was made when the filters were packed.
/// </summary>
/// <remarks>
/// It runs while the network runs: 18 numbers a filter come from memory instead of 36, and what becomes of them does
/// not leave the first-level cache. Where few tiles meet many filters, it's better to hold all 36.
/// </remarks>
/// <typeparam name="TVector">The vector type; lanes are output channels.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
/// <typeparam name="TVectors">Vectors of output channels: 1 to 3.</typeparam>
internal static unsafe class WinogradFilter<TVector, TLanes, TVectors>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
    where TVectors : unmanaged, ICount
{
    /// <summary>Transforms filters to the points 1, -1, 2 and -2 of a row; at 0 and infinity they are taps already.</summary>
    /// <param name="source">[kx][input channel][vector][lane].</param>
    /// <param name="channels">Input channels, no more than <see cref="WinogradFilter.Depth"/>.</param>
    /// <param name="target">[point][input channel][vector][lane], points at <see cref="WinogradFilter.PointPitch"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transform(float* source, int channels, float* target)
    {
        // The compiler knows the distance of points, so that all streams together take few registers.
        int point = (WinogradFilter.Depth * TVectors.Value * TLanes.Width / 16 | 1) * 16;
        nint tap = channels * TVectors.Value * TLanes.Width;
        TVector two = TLanes.Broadcast(2f), four = TLanes.Broadcast(4f);
        for (float* end = source + tap; source < end; source += TLanes.Width, target += TLanes.Width)
        {
            TVector g0 = TLanes.Load(source), g1 = TLanes.Load(source + tap), g2 = TLanes.Load(source + 2 * tap);
            TVector ones = TLanes.Add(g0, g2), twos = TLanes.MultiplyAdd(four, g2, g0), slope = TLanes.Multiply(two, g1);
            TLanes.Store(target, TLanes.Add(ones, g1));
            TLanes.Store(target + point, TLanes.Subtract(ones, g1));
            TLanes.Store(target + 2 * point, TLanes.Add(twos, slope));
            TLanes.Store(target + 3 * point, TLanes.Subtract(twos, slope));
        }
    }
}

/// <summary>What holds for filters of every vector type.</summary>
internal static class WinogradFilter
{
    /// <summary>Input channels whose filters are transformed at a time: with their products they fit the first-level cache.</summary>
    public const int Depth = 16;

    /// <summary>Floats from one point to the next where a channel's filters are <paramref name="pitch"/> floats.</summary>
    public static int PointPitch(int pitch) => (Depth * pitch / 16 | 1) * 16;

    /// <summary>Three taps to their values at the six points; columns first, then rows, it makes a whole transform.</summary>
    /// <param name="a">First tap.</param>
    /// <param name="b">Second tap.</param>
    /// <param name="c">Third tap.</param>
    /// <param name="values">Receives six values.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void TransformLine(float a, float b, float c, float* values)
    {
        float ones = a + c, twos = a + 4 * c, slope = 2 * b;
        values[0] = a;
        values[1] = c;
        values[2] = ones + b;
        values[3] = ones - b;
        values[4] = twos + slope;
        values[5] = twos - slope;
    }
}
