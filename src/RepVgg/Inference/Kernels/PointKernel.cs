using System.Runtime.CompilerServices;
using RepVgg.Simd;

namespace RepVgg.Inference.Kernels;

/// <summary>
/// The multiply of Winograd's domain at a point p, or at p and -p: Winograd tiles times filters whose values at the points
/// are made from their three taps on the way to the registers.
/// </summary>
/// <remarks>
/// A filter's even part, near + 2 far, and its odd part, the middle tap, give both values: see
/// <see cref="PanelArguments.Near"/>. Processors that add beside their multiply-adds make them at no cost; a transform
/// of its own would write and read four values where this reads three. For the rest see
/// <see cref="PanelKernel{TVector, TLanes, TVectors, TRows}"/>.
/// </remarks>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
/// <typeparam name="TPoints">Points: 1 or 2.</typeparam>
/// <typeparam name="TVectors">Vectors of output channels: 1 to 3.</typeparam>
/// <typeparam name="TRows">Rows: 1 to 12, with 3 vectors up to 3. The product of the three must leave registers for the operands.</typeparam>
internal static unsafe class PointKernel<TVector, TLanes, TPoints, TVectors, TRows>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
    where TPoints : unmanaged, ICount
    where TVectors : unmanaged, ICount
    where TRows : unmanaged, ICount
{
    /// <summary>Multiplies groups of rows, one after the other.</summary>
    /// <param name="arguments">The first group; on return, the group after the last.</param>
    /// <param name="groups">How many, 1 or more.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Run(PanelArguments* arguments, int groups)
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
            TVector a6 = zero, b6 = zero, c6 = zero, d6 = zero;
            TVector a7 = zero, b7 = zero, c7 = zero, d7 = zero;
            TVector a8 = zero, b8 = zero, c8 = zero, d8 = zero;
            TVector a9 = zero, b9 = zero, c9 = zero, d9 = zero;
            TVector a10 = zero, b10 = zero, c10 = zero, d10 = zero;
            TVector a11 = zero, b11 = zero, c11 = zero, d11 = zero;
            if (arguments->Initial == arguments->Target)
            {
                float* first = arguments->Target, second = first + arguments->PairTarget;
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
                if (sizeof(TRows) > 6)
                {
                    a6 = TLanes.Load(first + 6 * TVectors.Value * width);
                    if (sizeof(TVectors) > 1) b6 = TLanes.Load(first + 6 * TVectors.Value * width + width);
                    if (sizeof(TPoints) > 1) c6 = TLanes.Load(second + 6 * TVectors.Value * width);
                    if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) d6 = TLanes.Load(second + 6 * TVectors.Value * width + width);
                }
                if (sizeof(TRows) > 7)
                {
                    a7 = TLanes.Load(first + 7 * TVectors.Value * width);
                    if (sizeof(TVectors) > 1) b7 = TLanes.Load(first + 7 * TVectors.Value * width + width);
                    if (sizeof(TPoints) > 1) c7 = TLanes.Load(second + 7 * TVectors.Value * width);
                    if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) d7 = TLanes.Load(second + 7 * TVectors.Value * width + width);
                }
                if (sizeof(TRows) > 8)
                {
                    a8 = TLanes.Load(first + 8 * TVectors.Value * width);
                    if (sizeof(TVectors) > 1) b8 = TLanes.Load(first + 8 * TVectors.Value * width + width);
                    if (sizeof(TPoints) > 1) c8 = TLanes.Load(second + 8 * TVectors.Value * width);
                    if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) d8 = TLanes.Load(second + 8 * TVectors.Value * width + width);
                }
                if (sizeof(TRows) > 9)
                {
                    a9 = TLanes.Load(first + 9 * TVectors.Value * width);
                    if (sizeof(TVectors) > 1) b9 = TLanes.Load(first + 9 * TVectors.Value * width + width);
                    if (sizeof(TPoints) > 1) c9 = TLanes.Load(second + 9 * TVectors.Value * width);
                    if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) d9 = TLanes.Load(second + 9 * TVectors.Value * width + width);
                }
                if (sizeof(TRows) > 10)
                {
                    a10 = TLanes.Load(first + 10 * TVectors.Value * width);
                    if (sizeof(TVectors) > 1) b10 = TLanes.Load(first + 10 * TVectors.Value * width + width);
                    if (sizeof(TPoints) > 1) c10 = TLanes.Load(second + 10 * TVectors.Value * width);
                    if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) d10 = TLanes.Load(second + 10 * TVectors.Value * width + width);
                }
                if (sizeof(TRows) > 11)
                {
                    a11 = TLanes.Load(first + 11 * TVectors.Value * width);
                    if (sizeof(TVectors) > 1) b11 = TLanes.Load(first + 11 * TVectors.Value * width + width);
                    if (sizeof(TPoints) > 1) c11 = TLanes.Load(second + 11 * TVectors.Value * width);
                    if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) d11 = TLanes.Load(second + 11 * TVectors.Value * width + width);
                }
            }

            float* near = arguments->Panel + arguments->Near, middle = arguments->Panel + arguments->Middle;
            float* far = arguments->Panel + arguments->Far, ahead = arguments->Ahead;
            nint* segment = arguments->Segments;
            nint skip = arguments->PanelSkip, pair = arguments->PairRows, aheadStep = arguments->AheadStep;
            for (int remaining = arguments->SegmentCount; remaining > 0; remaining--)
            {
                float* x = arguments->Rows + *segment++, y = x + pair;
                for (int k = width; k > 0; k--)
                {
                    Prefetch.Far(ahead);
                    ahead += aheadStep;
                    TVector odd = TLanes.Load(middle), even = TLanes.Load(far), u = zero, v = zero, z = zero, r, s = zero, t = zero, factor;
                    even = TLanes.Add(TLanes.Add(even, even), TLanes.Load(near));
                    r = TLanes.Add(even, odd);
                    if (sizeof(TPoints) > 1) u = TLanes.Subtract(even, odd);
                    if (sizeof(TVectors) > 1)
                    {
                        odd = TLanes.Load(middle + width);
                        even = TLanes.Load(far + width);
                        even = TLanes.Add(TLanes.Add(even, even), TLanes.Load(near + width));
                        s = TLanes.Add(even, odd);
                        if (sizeof(TPoints) > 1) v = TLanes.Subtract(even, odd);
                    }
                    if (sizeof(TVectors) > 2)
                    {
                        odd = TLanes.Load(middle + 2 * width);
                        even = TLanes.Load(far + 2 * width);
                        even = TLanes.Add(TLanes.Add(even, even), TLanes.Load(near + 2 * width));
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
                    if (sizeof(TRows) > 6)
                    {
                        factor = TLanes.Broadcast(x[6 * width]);
                        a6 = TLanes.MultiplyAdd(factor, r, a6);
                        if (sizeof(TVectors) > 1) b6 = TLanes.MultiplyAdd(factor, s, b6);
                        if (sizeof(TPoints) > 1)
                        {
                            factor = TLanes.Broadcast(y[6 * width]);
                            c6 = TLanes.MultiplyAdd(factor, u, c6);
                            if (sizeof(TVectors) > 1) d6 = TLanes.MultiplyAdd(factor, v, d6);
                        }
                    }
                    if (sizeof(TRows) > 7)
                    {
                        factor = TLanes.Broadcast(x[7 * width]);
                        a7 = TLanes.MultiplyAdd(factor, r, a7);
                        if (sizeof(TVectors) > 1) b7 = TLanes.MultiplyAdd(factor, s, b7);
                        if (sizeof(TPoints) > 1)
                        {
                            factor = TLanes.Broadcast(y[7 * width]);
                            c7 = TLanes.MultiplyAdd(factor, u, c7);
                            if (sizeof(TVectors) > 1) d7 = TLanes.MultiplyAdd(factor, v, d7);
                        }
                    }
                    if (sizeof(TRows) > 8)
                    {
                        factor = TLanes.Broadcast(x[8 * width]);
                        a8 = TLanes.MultiplyAdd(factor, r, a8);
                        if (sizeof(TVectors) > 1) b8 = TLanes.MultiplyAdd(factor, s, b8);
                        if (sizeof(TPoints) > 1)
                        {
                            factor = TLanes.Broadcast(y[8 * width]);
                            c8 = TLanes.MultiplyAdd(factor, u, c8);
                            if (sizeof(TVectors) > 1) d8 = TLanes.MultiplyAdd(factor, v, d8);
                        }
                    }
                    if (sizeof(TRows) > 9)
                    {
                        factor = TLanes.Broadcast(x[9 * width]);
                        a9 = TLanes.MultiplyAdd(factor, r, a9);
                        if (sizeof(TVectors) > 1) b9 = TLanes.MultiplyAdd(factor, s, b9);
                        if (sizeof(TPoints) > 1)
                        {
                            factor = TLanes.Broadcast(y[9 * width]);
                            c9 = TLanes.MultiplyAdd(factor, u, c9);
                            if (sizeof(TVectors) > 1) d9 = TLanes.MultiplyAdd(factor, v, d9);
                        }
                    }
                    if (sizeof(TRows) > 10)
                    {
                        factor = TLanes.Broadcast(x[10 * width]);
                        a10 = TLanes.MultiplyAdd(factor, r, a10);
                        if (sizeof(TVectors) > 1) b10 = TLanes.MultiplyAdd(factor, s, b10);
                        if (sizeof(TPoints) > 1)
                        {
                            factor = TLanes.Broadcast(y[10 * width]);
                            c10 = TLanes.MultiplyAdd(factor, u, c10);
                            if (sizeof(TVectors) > 1) d10 = TLanes.MultiplyAdd(factor, v, d10);
                        }
                    }
                    if (sizeof(TRows) > 11)
                    {
                        factor = TLanes.Broadcast(x[11 * width]);
                        a11 = TLanes.MultiplyAdd(factor, r, a11);
                        if (sizeof(TVectors) > 1) b11 = TLanes.MultiplyAdd(factor, s, b11);
                        if (sizeof(TPoints) > 1)
                        {
                            factor = TLanes.Broadcast(y[11 * width]);
                            c11 = TLanes.MultiplyAdd(factor, u, c11);
                            if (sizeof(TVectors) > 1) d11 = TLanes.MultiplyAdd(factor, v, d11);
                        }
                    }
                    x++;
                    y++;
                }
                near += skip;
                middle += skip;
                far += skip;
            }
            arguments->Ahead = ahead;

            float* target = arguments->Target, pairTarget = target + arguments->PairTarget;
            TLanes.Store(target, a0);
            if (sizeof(TVectors) > 1) TLanes.Store(target + width, b0);
            if (sizeof(TPoints) > 1) TLanes.Store(pairTarget, c0);
            if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(pairTarget + width, d0);
            if (sizeof(TVectors) > 2) TLanes.Store(target + 2 * width, e0);
            if (sizeof(TPoints) > 1 && sizeof(TVectors) > 2) TLanes.Store(pairTarget + 2 * width, f0);
            if (sizeof(TRows) > 1)
            {
                TLanes.Store(target + TVectors.Value * width, a1);
                if (sizeof(TVectors) > 1) TLanes.Store(target + TVectors.Value * width + width, b1);
                if (sizeof(TPoints) > 1) TLanes.Store(pairTarget + TVectors.Value * width, c1);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(pairTarget + TVectors.Value * width + width, d1);
                if (sizeof(TVectors) > 2) TLanes.Store(target + TVectors.Value * width + 2 * width, e1);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 2) TLanes.Store(pairTarget + TVectors.Value * width + 2 * width, f1);
            }
            if (sizeof(TRows) > 2)
            {
                TLanes.Store(target + 2 * TVectors.Value * width, a2);
                if (sizeof(TVectors) > 1) TLanes.Store(target + 2 * TVectors.Value * width + width, b2);
                if (sizeof(TPoints) > 1) TLanes.Store(pairTarget + 2 * TVectors.Value * width, c2);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(pairTarget + 2 * TVectors.Value * width + width, d2);
                if (sizeof(TVectors) > 2) TLanes.Store(target + 2 * TVectors.Value * width + 2 * width, e2);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 2) TLanes.Store(pairTarget + 2 * TVectors.Value * width + 2 * width, f2);
            }
            if (sizeof(TRows) > 3)
            {
                TLanes.Store(target + 3 * TVectors.Value * width, a3);
                if (sizeof(TVectors) > 1) TLanes.Store(target + 3 * TVectors.Value * width + width, b3);
                if (sizeof(TPoints) > 1) TLanes.Store(pairTarget + 3 * TVectors.Value * width, c3);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(pairTarget + 3 * TVectors.Value * width + width, d3);
            }
            if (sizeof(TRows) > 4)
            {
                TLanes.Store(target + 4 * TVectors.Value * width, a4);
                if (sizeof(TVectors) > 1) TLanes.Store(target + 4 * TVectors.Value * width + width, b4);
                if (sizeof(TPoints) > 1) TLanes.Store(pairTarget + 4 * TVectors.Value * width, c4);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(pairTarget + 4 * TVectors.Value * width + width, d4);
            }
            if (sizeof(TRows) > 5)
            {
                TLanes.Store(target + 5 * TVectors.Value * width, a5);
                if (sizeof(TVectors) > 1) TLanes.Store(target + 5 * TVectors.Value * width + width, b5);
                if (sizeof(TPoints) > 1) TLanes.Store(pairTarget + 5 * TVectors.Value * width, c5);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(pairTarget + 5 * TVectors.Value * width + width, d5);
            }
            if (sizeof(TRows) > 6)
            {
                TLanes.Store(target + 6 * TVectors.Value * width, a6);
                if (sizeof(TVectors) > 1) TLanes.Store(target + 6 * TVectors.Value * width + width, b6);
                if (sizeof(TPoints) > 1) TLanes.Store(pairTarget + 6 * TVectors.Value * width, c6);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(pairTarget + 6 * TVectors.Value * width + width, d6);
            }
            if (sizeof(TRows) > 7)
            {
                TLanes.Store(target + 7 * TVectors.Value * width, a7);
                if (sizeof(TVectors) > 1) TLanes.Store(target + 7 * TVectors.Value * width + width, b7);
                if (sizeof(TPoints) > 1) TLanes.Store(pairTarget + 7 * TVectors.Value * width, c7);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(pairTarget + 7 * TVectors.Value * width + width, d7);
            }
            if (sizeof(TRows) > 8)
            {
                TLanes.Store(target + 8 * TVectors.Value * width, a8);
                if (sizeof(TVectors) > 1) TLanes.Store(target + 8 * TVectors.Value * width + width, b8);
                if (sizeof(TPoints) > 1) TLanes.Store(pairTarget + 8 * TVectors.Value * width, c8);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(pairTarget + 8 * TVectors.Value * width + width, d8);
            }
            if (sizeof(TRows) > 9)
            {
                TLanes.Store(target + 9 * TVectors.Value * width, a9);
                if (sizeof(TVectors) > 1) TLanes.Store(target + 9 * TVectors.Value * width + width, b9);
                if (sizeof(TPoints) > 1) TLanes.Store(pairTarget + 9 * TVectors.Value * width, c9);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(pairTarget + 9 * TVectors.Value * width + width, d9);
            }
            if (sizeof(TRows) > 10)
            {
                TLanes.Store(target + 10 * TVectors.Value * width, a10);
                if (sizeof(TVectors) > 1) TLanes.Store(target + 10 * TVectors.Value * width + width, b10);
                if (sizeof(TPoints) > 1) TLanes.Store(pairTarget + 10 * TVectors.Value * width, c10);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(pairTarget + 10 * TVectors.Value * width + width, d10);
            }
            if (sizeof(TRows) > 11)
            {
                TLanes.Store(target + 11 * TVectors.Value * width, a11);
                if (sizeof(TVectors) > 1) TLanes.Store(target + 11 * TVectors.Value * width + width, b11);
                if (sizeof(TPoints) > 1) TLanes.Store(pairTarget + 11 * TVectors.Value * width, c11);
                if (sizeof(TPoints) > 1 && sizeof(TVectors) > 1) TLanes.Store(pairTarget + 11 * TVectors.Value * width + width, d11);
            }

            arguments->Rows += TRows.Value * width;
            if (arguments->Initial == arguments->Target)
                arguments->Initial += TRows.Value * TVectors.Value * width;
            arguments->Target += TRows.Value * TVectors.Value * width;
        }
        while (--groups > 0);
    }
}
