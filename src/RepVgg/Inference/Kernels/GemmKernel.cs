using System.Runtime.CompilerServices;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Kernels;

/// <summary>
/// GEMM micro-kernel of the convolutions: multiplies rows of inputs (pixels or Winograd tiles) by a panel of weights. The
/// sums of TRows rows and TVectors vectors of output channels form the register tile, which stays in registers over all
/// segments.
/// </summary>
/// <remarks>
/// <para>
/// A row consists of <see cref="GemmArguments.SegmentCount"/> segments of <see cref="GemmArguments.Depth"/> consecutive
/// floats. Each float is broadcast and multiplied by one to three vectors of weights; lanes are output channels. The scalar
/// equivalent, for each row r and output channel o, is sum[r][o] = initial[r][o], then for each segment s and depth k
/// sum[r][o] += row[r][s][k] * panel[s][k][o], then the optional ReLU.
/// </para>
/// <para>
/// The additions of a sum have the same order for any number of rows and vectors, so an output is bit-identical in any
/// group of rows.
/// </para>
/// </remarks>
/// <typeparam name="TVector">The vector type; lanes are output channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <typeparam name="TVectors">Vectors of output channels: 1 to 3.</typeparam>
/// <typeparam name="TRows">Rows: 1 to 12. TRows * TVectors accumulators, the weights and one broadcast must fit in the registers.</typeparam>
internal static unsafe class GemmKernel<TVector, TLanes, TVectors, TRows>
    where TVector : struct
    where TLanes : struct, IMultiplyAddLanes<TVector>
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
            nint pitch = arguments->InitialPitch, vectorPitch = arguments->InitialVectorPitch;
            float* initial = arguments->Initial;
            TVector zero = TLanes.Zero;
            TVector a0 = zero, b0 = zero, c0 = zero;
            TVector a1 = zero, b1 = zero, c1 = zero;
            TVector a2 = zero, b2 = zero, c2 = zero;
            TVector a3 = zero, b3 = zero, c3 = zero;
            TVector a4 = zero, b4 = zero, c4 = zero;
            TVector a5 = zero, b5 = zero, c5 = zero;
            TVector a6 = zero, b6 = zero, c6 = zero;
            TVector a7 = zero, b7 = zero, c7 = zero;
            TVector a8 = zero, b8 = zero, c8 = zero;
            TVector a9 = zero, b9 = zero, c9 = zero;
            TVector a10 = zero, b10 = zero, c10 = zero;
            TVector a11 = zero, b11 = zero, c11 = zero;
            a0 = TLanes.Load(initial);
            if (sizeof(TVectors) > 1) b0 = TLanes.Load(initial + vectorPitch);
            if (sizeof(TVectors) > 2) c0 = TLanes.Load(initial + 2 * vectorPitch);
            if (sizeof(TRows) > 1)
            {
                a1 = TLanes.Load(initial + 1 * pitch);
                if (sizeof(TVectors) > 1) b1 = TLanes.Load(initial + 1 * pitch + vectorPitch);
                if (sizeof(TVectors) > 2) c1 = TLanes.Load(initial + 1 * pitch + 2 * vectorPitch);
            }
            if (sizeof(TRows) > 2)
            {
                a2 = TLanes.Load(initial + 2 * pitch);
                if (sizeof(TVectors) > 1) b2 = TLanes.Load(initial + 2 * pitch + vectorPitch);
                if (sizeof(TVectors) > 2) c2 = TLanes.Load(initial + 2 * pitch + 2 * vectorPitch);
            }
            if (sizeof(TRows) > 3)
            {
                a3 = TLanes.Load(initial + 3 * pitch);
                if (sizeof(TVectors) > 1) b3 = TLanes.Load(initial + 3 * pitch + vectorPitch);
                if (sizeof(TVectors) > 2) c3 = TLanes.Load(initial + 3 * pitch + 2 * vectorPitch);
            }
            if (sizeof(TRows) > 4)
            {
                a4 = TLanes.Load(initial + 4 * pitch);
                if (sizeof(TVectors) > 1) b4 = TLanes.Load(initial + 4 * pitch + vectorPitch);
                if (sizeof(TVectors) > 2) c4 = TLanes.Load(initial + 4 * pitch + 2 * vectorPitch);
            }
            if (sizeof(TRows) > 5)
            {
                a5 = TLanes.Load(initial + 5 * pitch);
                if (sizeof(TVectors) > 1) b5 = TLanes.Load(initial + 5 * pitch + vectorPitch);
                if (sizeof(TVectors) > 2) c5 = TLanes.Load(initial + 5 * pitch + 2 * vectorPitch);
            }
            if (sizeof(TRows) > 6)
            {
                a6 = TLanes.Load(initial + 6 * pitch);
                if (sizeof(TVectors) > 1) b6 = TLanes.Load(initial + 6 * pitch + vectorPitch);
                if (sizeof(TVectors) > 2) c6 = TLanes.Load(initial + 6 * pitch + 2 * vectorPitch);
            }
            if (sizeof(TRows) > 7)
            {
                a7 = TLanes.Load(initial + 7 * pitch);
                if (sizeof(TVectors) > 1) b7 = TLanes.Load(initial + 7 * pitch + vectorPitch);
                if (sizeof(TVectors) > 2) c7 = TLanes.Load(initial + 7 * pitch + 2 * vectorPitch);
            }
            if (sizeof(TRows) > 8)
            {
                a8 = TLanes.Load(initial + 8 * pitch);
                if (sizeof(TVectors) > 1) b8 = TLanes.Load(initial + 8 * pitch + vectorPitch);
                if (sizeof(TVectors) > 2) c8 = TLanes.Load(initial + 8 * pitch + 2 * vectorPitch);
            }
            if (sizeof(TRows) > 9)
            {
                a9 = TLanes.Load(initial + 9 * pitch);
                if (sizeof(TVectors) > 1) b9 = TLanes.Load(initial + 9 * pitch + vectorPitch);
                if (sizeof(TVectors) > 2) c9 = TLanes.Load(initial + 9 * pitch + 2 * vectorPitch);
            }
            if (sizeof(TRows) > 10)
            {
                a10 = TLanes.Load(initial + 10 * pitch);
                if (sizeof(TVectors) > 1) b10 = TLanes.Load(initial + 10 * pitch + vectorPitch);
                if (sizeof(TVectors) > 2) c10 = TLanes.Load(initial + 10 * pitch + 2 * vectorPitch);
            }
            if (sizeof(TRows) > 11)
            {
                a11 = TLanes.Load(initial + 11 * pitch);
                if (sizeof(TVectors) > 1) b11 = TLanes.Load(initial + 11 * pitch + vectorPitch);
                if (sizeof(TVectors) > 2) c11 = TLanes.Load(initial + 11 * pitch + 2 * vectorPitch);
            }

            // Stores that miss the L1 cache complete one after the other, but prefetches overlap. They start here so that the
            // cache lines arrive before the epilogue.
            for (int r = 0; arguments->PrefetchesTarget && r < TRows.Value; r++)
            {
                for (int o = 0; o < TVectors.Value; o++)
                    Prefetch.ToL1(arguments->Target + r * arguments->TargetPitch + o * arguments->TargetVectorPitch);
            }

            nint s1 = arguments->RowPitch, s2 = 2 * s1, s3 = 3 * s1;
            float* panel = arguments->Panel, prefetch = arguments->PrefetchAddress;
            nint* segment = arguments->Segments;
            nint skip = arguments->PanelSkip, prefetchStep = arguments->PrefetchStep;
            for (int remaining = arguments->SegmentCount; remaining > 0; remaining--)
            {
                // Three base pointers of four rows each, so that every operand has an address of the form base + index.
                float* x0 = arguments->Rows + *segment++, x4 = x0 + 4 * s1, x8 = x0 + 8 * s1;
                for (int k = arguments->Depth; k > 0; k--)
                {
                    // One prefetch per iteration: several in a row would delay the loads that follow.
                    Prefetch.ToL2(prefetch);
                    prefetch += prefetchStep;
                    TVector u = TLanes.Load(panel), v = zero, w = zero, x;
                    if (sizeof(TVectors) > 1) v = TLanes.Load(panel + width);
                    if (sizeof(TVectors) > 2) w = TLanes.Load(panel + 2 * width);
                    panel += TVectors.Value * width;
                    x = TLanes.Broadcast(x0[0]);
                    a0 = TLanes.MultiplyAdd(x, u, a0);
                    if (sizeof(TVectors) > 1) b0 = TLanes.MultiplyAdd(x, v, b0);
                    if (sizeof(TVectors) > 2) c0 = TLanes.MultiplyAdd(x, w, c0);
                    if (sizeof(TRows) > 1)
                    {
                        x = TLanes.Broadcast(x0[s1]);
                        a1 = TLanes.MultiplyAdd(x, u, a1);
                        if (sizeof(TVectors) > 1) b1 = TLanes.MultiplyAdd(x, v, b1);
                        if (sizeof(TVectors) > 2) c1 = TLanes.MultiplyAdd(x, w, c1);
                    }
                    if (sizeof(TRows) > 2)
                    {
                        x = TLanes.Broadcast(x0[s2]);
                        a2 = TLanes.MultiplyAdd(x, u, a2);
                        if (sizeof(TVectors) > 1) b2 = TLanes.MultiplyAdd(x, v, b2);
                        if (sizeof(TVectors) > 2) c2 = TLanes.MultiplyAdd(x, w, c2);
                    }
                    if (sizeof(TRows) > 3)
                    {
                        x = TLanes.Broadcast(x0[s3]);
                        a3 = TLanes.MultiplyAdd(x, u, a3);
                        if (sizeof(TVectors) > 1) b3 = TLanes.MultiplyAdd(x, v, b3);
                        if (sizeof(TVectors) > 2) c3 = TLanes.MultiplyAdd(x, w, c3);
                    }
                    if (sizeof(TRows) > 4)
                    {
                        x = TLanes.Broadcast(x4[0]);
                        a4 = TLanes.MultiplyAdd(x, u, a4);
                        if (sizeof(TVectors) > 1) b4 = TLanes.MultiplyAdd(x, v, b4);
                        if (sizeof(TVectors) > 2) c4 = TLanes.MultiplyAdd(x, w, c4);
                    }
                    if (sizeof(TRows) > 5)
                    {
                        x = TLanes.Broadcast(x4[s1]);
                        a5 = TLanes.MultiplyAdd(x, u, a5);
                        if (sizeof(TVectors) > 1) b5 = TLanes.MultiplyAdd(x, v, b5);
                        if (sizeof(TVectors) > 2) c5 = TLanes.MultiplyAdd(x, w, c5);
                    }
                    if (sizeof(TRows) > 6)
                    {
                        x = TLanes.Broadcast(x4[s2]);
                        a6 = TLanes.MultiplyAdd(x, u, a6);
                        if (sizeof(TVectors) > 1) b6 = TLanes.MultiplyAdd(x, v, b6);
                        if (sizeof(TVectors) > 2) c6 = TLanes.MultiplyAdd(x, w, c6);
                    }
                    if (sizeof(TRows) > 7)
                    {
                        x = TLanes.Broadcast(x4[s3]);
                        a7 = TLanes.MultiplyAdd(x, u, a7);
                        if (sizeof(TVectors) > 1) b7 = TLanes.MultiplyAdd(x, v, b7);
                        if (sizeof(TVectors) > 2) c7 = TLanes.MultiplyAdd(x, w, c7);
                    }
                    if (sizeof(TRows) > 8)
                    {
                        x = TLanes.Broadcast(x8[0]);
                        a8 = TLanes.MultiplyAdd(x, u, a8);
                        if (sizeof(TVectors) > 1) b8 = TLanes.MultiplyAdd(x, v, b8);
                        if (sizeof(TVectors) > 2) c8 = TLanes.MultiplyAdd(x, w, c8);
                    }
                    if (sizeof(TRows) > 9)
                    {
                        x = TLanes.Broadcast(x8[s1]);
                        a9 = TLanes.MultiplyAdd(x, u, a9);
                        if (sizeof(TVectors) > 1) b9 = TLanes.MultiplyAdd(x, v, b9);
                        if (sizeof(TVectors) > 2) c9 = TLanes.MultiplyAdd(x, w, c9);
                    }
                    if (sizeof(TRows) > 10)
                    {
                        x = TLanes.Broadcast(x8[s2]);
                        a10 = TLanes.MultiplyAdd(x, u, a10);
                        if (sizeof(TVectors) > 1) b10 = TLanes.MultiplyAdd(x, v, b10);
                        if (sizeof(TVectors) > 2) c10 = TLanes.MultiplyAdd(x, w, c10);
                    }
                    if (sizeof(TRows) > 11)
                    {
                        x = TLanes.Broadcast(x8[s3]);
                        a11 = TLanes.MultiplyAdd(x, u, a11);
                        if (sizeof(TVectors) > 1) b11 = TLanes.MultiplyAdd(x, v, b11);
                        if (sizeof(TVectors) > 2) c11 = TLanes.MultiplyAdd(x, w, c11);
                    }
                    x0++;
                    x4++;
                    x8++;
                }
                panel += skip;
            }
            arguments->PrefetchAddress = prefetch;

            bool relu = arguments->Relu;
            pitch = arguments->TargetPitch;
            vectorPitch = arguments->TargetVectorPitch;
            float* target = arguments->Target;
            Store(target, vectorPitch, relu, a0, b0, c0);
            if (sizeof(TRows) > 1)
                Store(target + 1 * pitch, vectorPitch, relu, a1, b1, c1);
            if (sizeof(TRows) > 2)
                Store(target + 2 * pitch, vectorPitch, relu, a2, b2, c2);
            if (sizeof(TRows) > 3)
                Store(target + 3 * pitch, vectorPitch, relu, a3, b3, c3);
            if (sizeof(TRows) > 4)
                Store(target + 4 * pitch, vectorPitch, relu, a4, b4, c4);
            if (sizeof(TRows) > 5)
                Store(target + 5 * pitch, vectorPitch, relu, a5, b5, c5);
            if (sizeof(TRows) > 6)
                Store(target + 6 * pitch, vectorPitch, relu, a6, b6, c6);
            if (sizeof(TRows) > 7)
                Store(target + 7 * pitch, vectorPitch, relu, a7, b7, c7);
            if (sizeof(TRows) > 8)
                Store(target + 8 * pitch, vectorPitch, relu, a8, b8, c8);
            if (sizeof(TRows) > 9)
                Store(target + 9 * pitch, vectorPitch, relu, a9, b9, c9);
            if (sizeof(TRows) > 10)
                Store(target + 10 * pitch, vectorPitch, relu, a10, b10, c10);
            if (sizeof(TRows) > 11)
                Store(target + 11 * pitch, vectorPitch, relu, a11, b11, c11);

            arguments->Rows += TRows.Value * arguments->RowPitch;
            arguments->Initial += TRows.Value * arguments->InitialPitch;
            arguments->Target += TRows.Value * arguments->TargetPitch;
        }
        while (--groups > 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(float* target, nint vectorPitch, bool relu, TVector a, TVector b, TVector c)
    {
        TLanes.Store(target, relu ? TLanes.Relu(a) : a);
        if (sizeof(TVectors) > 1) TLanes.Store(target + vectorPitch, relu ? TLanes.Relu(b) : b);
        if (sizeof(TVectors) > 2) TLanes.Store(target + 2 * vectorPitch, relu ? TLanes.Relu(c) : c);
    }
}
