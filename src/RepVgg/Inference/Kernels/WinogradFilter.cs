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
/// <typeparam name="TStride">The convolution's stride, 1 or 2.</typeparam>
/// <typeparam name="TVectors">Vectors of output channels: 1 to 3.</typeparam>
internal static unsafe class WinogradFilter<TVector, TLanes, TStride, TVectors>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
    where TStride : unmanaged, ICount
    where TVectors : unmanaged, ICount
{
    /// <summary>Transforms filters to the six points of a row.</summary>
    /// <param name="source">[input channel][kx][vector][lane].</param>
    /// <param name="channels">Input channels, no more than <see cref="WinogradFilter.Depth"/>.</param>
    /// <param name="target">[slot of the column][input channel][vector][lane], slots at <see cref="WinogradFilter.SlotPitch"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transform(float* source, int channels, float* target)
    {
        // The compiler knows these distances, so that nine streams take two registers.
        int pitch = TVectors.Value * TLanes.Width, slot = (WinogradFilter.Depth * TVectors.Value * TLanes.Width / 16 | 1) * 16;
        TVector two = TLanes.Broadcast(2f), four = TLanes.Broadcast(4f);
        for (; channels > 0; channels--, source += 2 * pitch)
        {
            for (int o = 0; o < TVectors.Value; o++, source += TLanes.Width, target += TLanes.Width)
            {
                TVector g0 = TLanes.Load(source), g1 = TLanes.Load(source + pitch), g2 = TLanes.Load(source + 2 * pitch);
                TVector ones = TLanes.Add(g0, g2);
                TLanes.Store(target, g0);
                TLanes.Store(target + slot, g2);
                if (sizeof(TStride) == 1)
                {
                    TVector twos = TLanes.MultiplyAdd(four, g2, g0), slope = TLanes.Multiply(two, g1);
                    TLanes.Store(target + 2 * slot, TLanes.Add(ones, g1));
                    TLanes.Store(target + 3 * slot, TLanes.Subtract(ones, g1));
                    TLanes.Store(target + 4 * slot, TLanes.Add(twos, slope));
                    TLanes.Store(target + 5 * slot, TLanes.Subtract(twos, slope));
                }
                else
                {
                    TLanes.Store(target + 2 * slot, ones);
                    TLanes.Store(target + 3 * slot, TLanes.Subtract(g0, g2));
                    TLanes.Store(target + 4 * slot, TLanes.MultiplyAdd(two, g2, g0));
                    TLanes.Store(target + 5 * slot, g1);
                }
            }
        }
    }
}

/// <summary>What holds for filters of every vector type.</summary>
internal static class WinogradFilter
{
    /// <summary>Input channels whose filters are transformed at a time: with their products they fit the first-level cache.</summary>
    public const int Depth = 16;

    /// <summary>Floats from one slot to the next where a channel's filters are <paramref name="pitch"/> floats.</summary>
    public static int SlotPitch(int pitch) => (Depth * pitch / 16 | 1) * 16;

    /// <summary>A line of taps to its values in the six slots; columns first, then rows, it makes a whole transform.</summary>
    /// <param name="stride">The convolution's stride, 1 or 2.</param>
    /// <param name="a">First tap.</param>
    /// <param name="b">Second tap.</param>
    /// <param name="c">Third tap.</param>
    /// <param name="values">Receives six values.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void TransformLine(int stride, float a, float b, float c, float* values)
    {
        float ones = a + c, twos = a + 4 * c, twice = 2 * b;
        values[0] = a;
        values[1] = c;
        values[2] = stride == 1 ? ones + b : ones;
        values[3] = stride == 1 ? ones - b : a - c;
        values[4] = stride == 1 ? twos + twice : a + 2 * c;
        values[5] = stride == 1 ? twos - twice : b;
    }
}
