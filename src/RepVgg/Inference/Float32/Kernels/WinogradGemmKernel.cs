using System.Runtime.CompilerServices;
using RepVgg.Inference.Kernels;
using RepVgg.Runtime.Simd;
using RepVgg.Runtime.Winograd;

namespace RepVgg.Inference.Float32.Kernels;

/// <summary>
/// GEMM micro-kernel of Winograd convolutions for an interpolation point p, or for p and -p together: multiplies
/// transformed input tiles by filters, and computes the filters' values at the points from their three taps when it loads
/// them.
/// </summary>
/// <remarks>
/// <para>
/// Lanes are output channels. With even = near + 2 far and odd = middle (see <see cref="GemmArguments.NearTap"/>), the
/// filter's value is even + odd at p and even - odd at -p. On processors that execute additions in parallel with
/// multiply-adds this takes no extra time. A separate filter transform, followed by
/// <see cref="GemmKernel{TVector, TLanes, TVectors, TRows}"/> at both points, takes 31 % longer (310 instead of 237 ns for
/// 2 vectors, 6 rows and 4 channel blocks; AVX-512, AMD Zen 5).
/// </para>
/// <para>
/// Input rows are one vector width apart and the sums of a group are contiguous, [row][vector][lane]. The sums start from
/// the target's values if <see cref="GemmArguments.Initial"/> equals <see cref="GemmArguments.Target"/>, otherwise from
/// zero. The scalar equivalent, for each row r, output channel o, segment s and depth k, is
/// sum[r][o] += row[r][s][k] * (near[s][k][o] + 2 * far[s][k][o] + middle[s][k][o]) at p, and with - middle at -p.
/// </para>
/// </remarks>
/// <typeparam name="TVector">The vector type; lanes are output channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <typeparam name="TPoints">Points: 1 or 2.</typeparam>
/// <typeparam name="TVectors">Vectors of output channels: 1 to 3.</typeparam>
/// <typeparam name="TRows">
/// Rows: 1 to 6, or 1 to 3 with 3 vectors. TPoints * TVectors * TRows accumulators and the operands must fit in the
/// registers.
/// </typeparam>
internal static unsafe class WinogradGemmKernel<TVector, TLanes, TPoints, TVectors, TRows>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
    where TPoints : unmanaged, ICount
    where TVectors : unmanaged, ICount
    where TRows : unmanaged, ICount
{
    /// <summary>Multiplies consecutive groups of TRows rows.</summary>
    /// <param name="arguments">Operands of the first group; on return, those of the group after the last.</param>
    /// <param name="groups">Number of groups, 1 or more.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Run(GemmArguments* arguments, int groups)
    {
        do
        {
            int width = TLanes.Width;
            TVector zero = TLanes.Zero;
            TVector a0 = zero, b0 = zero, c0 = zero, d0 = zero, e0 = zero, f0 = zero;
            TVector a1 = zero, b1 = zero, c1 = zero, d1 = zero, e1 = zero, f1 = zero;
            TVector a2 = zero, b2 = zero, c2 = zero, d2 = zero, e2 = zero, f2 = zero;
            TVector a3 = zero, b3 = zero, c3 = zero, d3 = zero;
            TVector a4 = zero, b4 = zero, c4 = zero, d4 = zero;
            TVector a5 = zero, b5 = zero, c5 = zero, d5 = zero;
            if (arguments->Initial == arguments->Target)
            {
                float* first = arguments->Target, second = first + arguments->SecondPointTarget;
                a0 = TLanes.Load(first);
                if (sizeof(TVectors) > 1) b0 = TLanes.Load(first + width);
                if (sizeof(TPoints) > 1) c0 = TLanes.Load(second);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) d0 = TLanes.Load(second + width);
                if (sizeof(TVectors) > 2) e0 = TLanes.Load(first + 2 * width);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 2) f0 = TLanes.Load(second + 2 * width);
                if (sizeof(TRows) > 1)
                {
                    a1 = TLanes.Load(first + TVectors.Value * width);
                    if (sizeof(TVectors) > 1) b1 = TLanes.Load(first + TVectors.Value * width + width);
                    if (sizeof(TPoints) > 1) c1 = TLanes.Load(second + TVectors.Value * width);
                    if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) d1 = TLanes.Load(second + TVectors.Value * width + width);
                    if (sizeof(TVectors) > 2) e1 = TLanes.Load(first + TVectors.Value * width + 2 * width);
                    if (sizeof(TPoints) > 1 && sizeof(TVectors) > 2) f1 = TLanes.Load(second + TVectors.Value * width + 2 * width);
                }
                if (sizeof(TRows) > 2)
                {
                    a2 = TLanes.Load(first + 2 * TVectors.Value * width);
                    if (sizeof(TVectors) > 1) b2 = TLanes.Load(first + 2 * TVectors.Value * width + width);
                    if (sizeof(TPoints) > 1) c2 = TLanes.Load(second + 2 * TVectors.Value * width);
                    if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) d2 = TLanes.Load(second + 2 * TVectors.Value * width + width);
                    if (sizeof(TVectors) > 2) e2 = TLanes.Load(first + 2 * TVectors.Value * width + 2 * width);
                    if (sizeof(TPoints) > 1 && sizeof(TVectors) > 2) f2 = TLanes.Load(second + 2 * TVectors.Value * width + 2 * width);
                }
                if (sizeof(TRows) > 3)
                {
                    a3 = TLanes.Load(first + 3 * TVectors.Value * width);
                    if (sizeof(TVectors) > 1) b3 = TLanes.Load(first + 3 * TVectors.Value * width + width);
                    if (sizeof(TPoints) > 1) c3 = TLanes.Load(second + 3 * TVectors.Value * width);
                    if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) d3 = TLanes.Load(second + 3 * TVectors.Value * width + width);
                }
                if (sizeof(TRows) > 4)
                {
                    a4 = TLanes.Load(first + 4 * TVectors.Value * width);
                    if (sizeof(TVectors) > 1) b4 = TLanes.Load(first + 4 * TVectors.Value * width + width);
                    if (sizeof(TPoints) > 1) c4 = TLanes.Load(second + 4 * TVectors.Value * width);
                    if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) d4 = TLanes.Load(second + 4 * TVectors.Value * width + width);
                }
                if (sizeof(TRows) > 5)
                {
                    a5 = TLanes.Load(first + 5 * TVectors.Value * width);
                    if (sizeof(TVectors) > 1) b5 = TLanes.Load(first + 5 * TVectors.Value * width + width);
                    if (sizeof(TPoints) > 1) c5 = TLanes.Load(second + 5 * TVectors.Value * width);
                    if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) d5 = TLanes.Load(second + 5 * TVectors.Value * width + width);
                }
            }

            float* near = arguments->Panel + arguments->NearTap, middle = arguments->Panel + arguments->MiddleTap;
            float* far = arguments->Panel + arguments->FarTap, prefetch = arguments->PrefetchAddress;
            nint* segment = arguments->Segments;
            nint skip = arguments->PanelSkip, pair = arguments->SecondPointRows, prefetchStep = arguments->PrefetchStep;
            for (int remaining = arguments->SegmentCount; remaining > 0; remaining--)
            {
                float* x = arguments->Rows + *segment++, y = x + pair;
                for (int k = width; k > 0; k--)
                {
                    Prefetch.ToL2(prefetch);
                    prefetch += prefetchStep;
                    TVector odd = TLanes.Load(middle), even = TLanes.Load(far), u = zero, v = zero, z = zero, r, s = zero, t = zero, factor;
                    even = ToomCook<TVector, TLanes>.EvenPart(TLanes.Load(near), even);
                    r = TLanes.Add(even, odd);
                    if (sizeof(TPoints) > 1) u = TLanes.Subtract(even, odd);
                    if (sizeof(TVectors) > 1)
                    {
                        odd = TLanes.Load(middle + width);
                        even = TLanes.Load(far + width);
                        even = ToomCook<TVector, TLanes>.EvenPart(TLanes.Load(near + width), even);
                        s = TLanes.Add(even, odd);
                        if (sizeof(TPoints) > 1) v = TLanes.Subtract(even, odd);
                    }
                    if (sizeof(TVectors) > 2)
                    {
                        odd = TLanes.Load(middle + 2 * width);
                        even = TLanes.Load(far + 2 * width);
                        even = ToomCook<TVector, TLanes>.EvenPart(TLanes.Load(near + 2 * width), even);
                        t = TLanes.Add(even, odd);
                        if (sizeof(TPoints) > 1) z = TLanes.Subtract(even, odd);
                    }
                    near += TVectors.Value * width;
                    middle += TVectors.Value * width;
                    far += TVectors.Value * width;
                    factor = TLanes.Broadcast(x[0]);
                    a0 = TLanes.MultiplyAdd(factor, r, a0);
                    if (sizeof(TVectors) > 1) b0 = TLanes.MultiplyAdd(factor, s, b0);
                    if (sizeof(TVectors) > 2) e0 = TLanes.MultiplyAdd(factor, t, e0);
                    if (sizeof(TPoints) > 1)
                    {
                        factor = TLanes.Broadcast(y[0]);
                        c0 = TLanes.MultiplyAdd(factor, u, c0);
                        if (sizeof(TVectors) > 1) d0 = TLanes.MultiplyAdd(factor, v, d0);
                        if (sizeof(TVectors) > 2) f0 = TLanes.MultiplyAdd(factor, z, f0);
                    }
                    if (sizeof(TRows) > 1)
                    {
                        factor = TLanes.Broadcast(x[width]);
                        a1 = TLanes.MultiplyAdd(factor, r, a1);
                        if (sizeof(TVectors) > 1) b1 = TLanes.MultiplyAdd(factor, s, b1);
                        if (sizeof(TVectors) > 2) e1 = TLanes.MultiplyAdd(factor, t, e1);
                        if (sizeof(TPoints) > 1)
                        {
                            factor = TLanes.Broadcast(y[width]);
                            c1 = TLanes.MultiplyAdd(factor, u, c1);
                            if (sizeof(TVectors) > 1) d1 = TLanes.MultiplyAdd(factor, v, d1);
                            if (sizeof(TVectors) > 2) f1 = TLanes.MultiplyAdd(factor, z, f1);
                        }
                    }
                    if (sizeof(TRows) > 2)
                    {
                        factor = TLanes.Broadcast(x[2 * width]);
                        a2 = TLanes.MultiplyAdd(factor, r, a2);
                        if (sizeof(TVectors) > 1) b2 = TLanes.MultiplyAdd(factor, s, b2);
                        if (sizeof(TVectors) > 2) e2 = TLanes.MultiplyAdd(factor, t, e2);
                        if (sizeof(TPoints) > 1)
                        {
                            factor = TLanes.Broadcast(y[2 * width]);
                            c2 = TLanes.MultiplyAdd(factor, u, c2);
                            if (sizeof(TVectors) > 1) d2 = TLanes.MultiplyAdd(factor, v, d2);
                            if (sizeof(TVectors) > 2) f2 = TLanes.MultiplyAdd(factor, z, f2);
                        }
                    }
                    if (sizeof(TRows) > 3)
                    {
                        factor = TLanes.Broadcast(x[3 * width]);
                        a3 = TLanes.MultiplyAdd(factor, r, a3);
                        if (sizeof(TVectors) > 1) b3 = TLanes.MultiplyAdd(factor, s, b3);
                        if (sizeof(TPoints) > 1)
                        {
                            factor = TLanes.Broadcast(y[3 * width]);
                            c3 = TLanes.MultiplyAdd(factor, u, c3);
                            if (sizeof(TVectors) > 1) d3 = TLanes.MultiplyAdd(factor, v, d3);
                        }
                    }
                    if (sizeof(TRows) > 4)
                    {
                        factor = TLanes.Broadcast(x[4 * width]);
                        a4 = TLanes.MultiplyAdd(factor, r, a4);
                        if (sizeof(TVectors) > 1) b4 = TLanes.MultiplyAdd(factor, s, b4);
                        if (sizeof(TPoints) > 1)
                        {
                            factor = TLanes.Broadcast(y[4 * width]);
                            c4 = TLanes.MultiplyAdd(factor, u, c4);
                            if (sizeof(TVectors) > 1) d4 = TLanes.MultiplyAdd(factor, v, d4);
                        }
                    }
                    if (sizeof(TRows) > 5)
                    {
                        factor = TLanes.Broadcast(x[5 * width]);
                        a5 = TLanes.MultiplyAdd(factor, r, a5);
                        if (sizeof(TVectors) > 1) b5 = TLanes.MultiplyAdd(factor, s, b5);
                        if (sizeof(TPoints) > 1)
                        {
                            factor = TLanes.Broadcast(y[5 * width]);
                            c5 = TLanes.MultiplyAdd(factor, u, c5);
                            if (sizeof(TVectors) > 1) d5 = TLanes.MultiplyAdd(factor, v, d5);
                        }
                    }
                    x++;
                    y++;
                }
                near += skip;
                middle += skip;
                far += skip;
            }
            arguments->PrefetchAddress = prefetch;

            float* target = arguments->Target, secondTarget = target + arguments->SecondPointTarget;
            TLanes.Store(target, a0);
            if (sizeof(TVectors) > 1) TLanes.Store(target + width, b0);
            if (sizeof(TPoints) > 1) TLanes.Store(secondTarget, c0);
            if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(secondTarget + width, d0);
            if (sizeof(TVectors) > 2) TLanes.Store(target + 2 * width, e0);
            if (sizeof(TPoints) > 1 && sizeof(TVectors) > 2) TLanes.Store(secondTarget + 2 * width, f0);
            if (sizeof(TRows) > 1)
            {
                TLanes.Store(target + TVectors.Value * width, a1);
                if (sizeof(TVectors) > 1) TLanes.Store(target + TVectors.Value * width + width, b1);
                if (sizeof(TPoints) > 1) TLanes.Store(secondTarget + TVectors.Value * width, c1);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(secondTarget + TVectors.Value * width + width, d1);
                if (sizeof(TVectors) > 2) TLanes.Store(target + TVectors.Value * width + 2 * width, e1);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 2) TLanes.Store(secondTarget + TVectors.Value * width + 2 * width, f1);
            }
            if (sizeof(TRows) > 2)
            {
                TLanes.Store(target + 2 * TVectors.Value * width, a2);
                if (sizeof(TVectors) > 1) TLanes.Store(target + 2 * TVectors.Value * width + width, b2);
                if (sizeof(TPoints) > 1) TLanes.Store(secondTarget + 2 * TVectors.Value * width, c2);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(secondTarget + 2 * TVectors.Value * width + width, d2);
                if (sizeof(TVectors) > 2) TLanes.Store(target + 2 * TVectors.Value * width + 2 * width, e2);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 2) TLanes.Store(secondTarget + 2 * TVectors.Value * width + 2 * width, f2);
            }
            if (sizeof(TRows) > 3)
            {
                TLanes.Store(target + 3 * TVectors.Value * width, a3);
                if (sizeof(TVectors) > 1) TLanes.Store(target + 3 * TVectors.Value * width + width, b3);
                if (sizeof(TPoints) > 1) TLanes.Store(secondTarget + 3 * TVectors.Value * width, c3);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(secondTarget + 3 * TVectors.Value * width + width, d3);
            }
            if (sizeof(TRows) > 4)
            {
                TLanes.Store(target + 4 * TVectors.Value * width, a4);
                if (sizeof(TVectors) > 1) TLanes.Store(target + 4 * TVectors.Value * width + width, b4);
                if (sizeof(TPoints) > 1) TLanes.Store(secondTarget + 4 * TVectors.Value * width, c4);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(secondTarget + 4 * TVectors.Value * width + width, d4);
            }
            if (sizeof(TRows) > 5)
            {
                TLanes.Store(target + 5 * TVectors.Value * width, a5);
                if (sizeof(TVectors) > 1) TLanes.Store(target + 5 * TVectors.Value * width + width, b5);
                if (sizeof(TPoints) > 1) TLanes.Store(secondTarget + 5 * TVectors.Value * width, c5);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(secondTarget + 5 * TVectors.Value * width + width, d5);
            }

            arguments->Rows += TRows.Value * width;
            if (arguments->Initial == arguments->Target)
                arguments->Initial += TRows.Value * TVectors.Value * width;
            arguments->Target += TRows.Value * TVectors.Value * width;
        }
        while (--groups > 0);
    }
}
