using System.Runtime.CompilerServices;
using RepVgg.Runtime.Simd;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>The GEMM micro-kernel for a <see cref="WeightTile"/>: a register tile of TRows input channels by TVectors vectors of output channels.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Arithmetic of the vector type.</typeparam>
/// <typeparam name="TRows">Number of rows (input channels): 4, 6 or 8. Rows * vectors accumulators, the gradient vectors and one broadcast value must fit in the vector registers.</typeparam>
/// <typeparam name="TVectors">Number of vectors of columns (output channels): 1 or 2.</typeparam>
/// <remarks>
/// Accumulator a0 to a7 of a row holds columns 0 to Width - 1, and b0 to b7 holds columns Width to 2 Width - 1. Each step
/// broadcasts one input value per row and multiplies it by the gradient vectors u and v of one pixel. The formula is in
/// <see cref="WeightTile"/>.
/// </remarks>
internal static unsafe class WeightKernel<TVector, TLanes, TRows, TVectors>
    where TVector : unmanaged
    where TLanes : struct, ILanes<TVector>
    where TRows : unmanaged, ICount
    where TVectors : unmanaged, ICount
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Run(in WeightTile tile)
    {
        int width = TLanes.Width;
        var zero = TLanes.Zero;
        TVector a0 = zero, a1 = zero, a2 = zero, a3 = zero, a4 = zero, a5 = zero, a6 = zero, a7 = zero;
        TVector b0 = zero, b1 = zero, b2 = zero, b3 = zero, b4 = zero, b5 = zero, b6 = zero, b7 = zero;
        float* output = tile.Output;
        nint stride = tile.OutputStride;
        a0 = TLanes.Load(output);
        if (sizeof(TVectors) > 1) b0 = TLanes.Load(output + width);
        a1 = TLanes.Load(output + stride);
        if (sizeof(TVectors) > 1) b1 = TLanes.Load(output + stride + width);
        a2 = TLanes.Load(output + 2 * stride);
        if (sizeof(TVectors) > 1) b2 = TLanes.Load(output + 2 * stride + width);
        a3 = TLanes.Load(output + 3 * stride);
        if (sizeof(TVectors) > 1) b3 = TLanes.Load(output + 3 * stride + width);
        if (sizeof(TRows) > 4)
        {
            a4 = TLanes.Load(output + 4 * stride);
            if (sizeof(TVectors) > 1) b4 = TLanes.Load(output + 4 * stride + width);
            a5 = TLanes.Load(output + 5 * stride);
            if (sizeof(TVectors) > 1) b5 = TLanes.Load(output + 5 * stride + width);
        }
        if (sizeof(TRows) > 6)
        {
            a6 = TLanes.Load(output + 6 * stride);
            if (sizeof(TVectors) > 1) b6 = TLanes.Load(output + 6 * stride + width);
            a7 = TLanes.Load(output + 7 * stride);
            if (sizeof(TVectors) > 1) b7 = TLanes.Load(output + 7 * stride + width);
        }
        int* pixels = tile.PixelOffsets;
        int* end = pixels + tile.Pixels;
        float* gradient = tile.Gradient;
        float* input = tile.Input;
        nint gradientStride = tile.GradientStride;
        for (; pixels < end; pixels++)
        {
            float* from = input + *pixels;
            TVector u = TLanes.Load(gradient), v = zero, x;
            if (sizeof(TVectors) > 1) v = TLanes.Load(gradient + width);
            gradient += gradientStride;
            x = TLanes.Broadcast(from[0]);
            a0 = TLanes.MultiplyAdd(x, u, a0);
            if (sizeof(TVectors) > 1) b0 = TLanes.MultiplyAdd(x, v, b0);
            x = TLanes.Broadcast(from[1]);
            a1 = TLanes.MultiplyAdd(x, u, a1);
            if (sizeof(TVectors) > 1) b1 = TLanes.MultiplyAdd(x, v, b1);
            x = TLanes.Broadcast(from[2]);
            a2 = TLanes.MultiplyAdd(x, u, a2);
            if (sizeof(TVectors) > 1) b2 = TLanes.MultiplyAdd(x, v, b2);
            x = TLanes.Broadcast(from[3]);
            a3 = TLanes.MultiplyAdd(x, u, a3);
            if (sizeof(TVectors) > 1) b3 = TLanes.MultiplyAdd(x, v, b3);
            if (sizeof(TRows) > 4)
            {
                x = TLanes.Broadcast(from[4]);
                a4 = TLanes.MultiplyAdd(x, u, a4);
                if (sizeof(TVectors) > 1) b4 = TLanes.MultiplyAdd(x, v, b4);
                x = TLanes.Broadcast(from[5]);
                a5 = TLanes.MultiplyAdd(x, u, a5);
                if (sizeof(TVectors) > 1) b5 = TLanes.MultiplyAdd(x, v, b5);
            }
            if (sizeof(TRows) > 6)
            {
                x = TLanes.Broadcast(from[6]);
                a6 = TLanes.MultiplyAdd(x, u, a6);
                if (sizeof(TVectors) > 1) b6 = TLanes.MultiplyAdd(x, v, b6);
                x = TLanes.Broadcast(from[7]);
                a7 = TLanes.MultiplyAdd(x, u, a7);
                if (sizeof(TVectors) > 1) b7 = TLanes.MultiplyAdd(x, v, b7);
            }
        }
        Store(output, a0, b0);
        Store(output + stride, a1, b1);
        Store(output + 2 * stride, a2, b2);
        Store(output + 3 * stride, a3, b3);
        if (sizeof(TRows) > 4)
        {
            Store(output + 4 * stride, a4, b4);
            Store(output + 5 * stride, a5, b5);
        }
        if (sizeof(TRows) > 6)
        {
            Store(output + 6 * stride, a6, b6);
            Store(output + 7 * stride, a7, b7);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(float* target, TVector a, TVector b)
    {
        TLanes.Store(target, a);
        if (sizeof(TVectors) > 1) TLanes.Store(target + TLanes.Width, b);
    }
}
