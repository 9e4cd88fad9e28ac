using System.Runtime.CompilerServices;
using RepVgg.Runtime.Simd;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>
/// The GEMM micro-kernel of training: a register tile of TRows rows by TVectors vectors of columns. The forward pass and
/// the input gradient sum over taps and channels (rows are pixels, columns are output channels); the weight gradient sums
/// over pixels (rows are input channels, columns are output channels).
/// </summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Arithmetic of the vector type.</typeparam>
/// <typeparam name="TRows">Number of rows: 4, 6 or 8. Rows * vectors accumulators, the column vectors and one broadcast value must fit in the vector registers.</typeparam>
/// <typeparam name="TVectors">Number of vectors of columns: 1 or 2.</typeparam>
/// <typeparam name="TSteps"><see cref="One"/> if the steps of a segment are consecutive floats; <see cref="Two"/> if a table has the offset of each step.</typeparam>
/// <remarks>
/// Accumulator a0 to a7 of a row holds columns 0 to Width - 1, and b0 to b7 holds columns Width to 2 Width - 1. Each step
/// broadcasts one input value per row and multiplies it by the column vectors u and v. The scalar equivalent is in
/// <see cref="GemmTile"/>. Inference has a body of its own, because its rows have a constant pitch and its prefetch and
/// ReLU would cost training 3 to 4 % (154 instead of 149 ns for 8 rows, 2 vectors and 64 steps; AVX-512, AMD Zen 5).
/// </remarks>
internal static unsafe class GemmMicroKernel<TVector, TLanes, TRows, TVectors, TSteps>
    where TVector : unmanaged
    where TLanes : struct, ILanes<TVector>
    where TRows : unmanaged, ICount
    where TVectors : unmanaged, ICount
    where TSteps : unmanaged, ICount
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Run(in GemmTile tile)
    {
        int width = TLanes.Width;
        var zero = TLanes.Zero;
        TVector a0 = zero, a1 = zero, a2 = zero, a3 = zero, a4 = zero, a5 = zero, a6 = zero, a7 = zero;
        TVector b0 = zero, b1 = zero, b2 = zero, b3 = zero, b4 = zero, b5 = zero, b6 = zero, b7 = zero;
        float* output = tile.Output;
        int* outputs = tile.OutputOffsets;
        if (tile.Accumulate)
        {
            a0 = TLanes.Load(output + outputs[0]);
            if (sizeof(TVectors) > 1) b0 = TLanes.Load(output + outputs[0] + width);
            a1 = TLanes.Load(output + outputs[1]);
            if (sizeof(TVectors) > 1) b1 = TLanes.Load(output + outputs[1] + width);
            a2 = TLanes.Load(output + outputs[2]);
            if (sizeof(TVectors) > 1) b2 = TLanes.Load(output + outputs[2] + width);
            a3 = TLanes.Load(output + outputs[3]);
            if (sizeof(TVectors) > 1) b3 = TLanes.Load(output + outputs[3] + width);
            if (sizeof(TRows) > 4)
            {
                a4 = TLanes.Load(output + outputs[4]);
                if (sizeof(TVectors) > 1) b4 = TLanes.Load(output + outputs[4] + width);
                a5 = TLanes.Load(output + outputs[5]);
                if (sizeof(TVectors) > 1) b5 = TLanes.Load(output + outputs[5] + width);
            }
            if (sizeof(TRows) > 6)
            {
                a6 = TLanes.Load(output + outputs[6]);
                if (sizeof(TVectors) > 1) b6 = TLanes.Load(output + outputs[6] + width);
                a7 = TLanes.Load(output + outputs[7]);
                if (sizeof(TVectors) > 1) b7 = TLanes.Load(output + outputs[7] + width);
            }
        }
        int* inputs = tile.RowOffsets, stepOffsets = tile.StepOffsets;
        float* columns = tile.Columns;
        nint steps = tile.Steps, pitch = tile.ColumnsPitch;
        for (int segment = 0; segment < tile.Segments; segment++)
        {
            float* x0 = tile.Input + tile.SegmentOffsets[segment], x1 = x0 + inputs[1], x2 = x0 + inputs[2], x3 = x0 + inputs[3], x4 = x0, x5 = x0, x6 = x0, x7 = x0;
            if (sizeof(TRows) > 4)
            {
                x4 += inputs[4];
                x5 += inputs[5];
            }
            if (sizeof(TRows) > 6)
            {
                x6 += inputs[6];
                x7 += inputs[7];
            }
            x0 += inputs[0];
            for (nint step = 0; step < steps; step++)
            {
                nint k = step;
                if (sizeof(TSteps) > 1) k = stepOffsets[step];
                TVector u = TLanes.Load(columns), v = zero, x;
                if (sizeof(TVectors) > 1) v = TLanes.Load(columns + width);
                columns += pitch;
                x = TLanes.Broadcast(x0[k]);
                a0 = TLanes.MultiplyAdd(x, u, a0);
                if (sizeof(TVectors) > 1) b0 = TLanes.MultiplyAdd(x, v, b0);
                x = TLanes.Broadcast(x1[k]);
                a1 = TLanes.MultiplyAdd(x, u, a1);
                if (sizeof(TVectors) > 1) b1 = TLanes.MultiplyAdd(x, v, b1);
                x = TLanes.Broadcast(x2[k]);
                a2 = TLanes.MultiplyAdd(x, u, a2);
                if (sizeof(TVectors) > 1) b2 = TLanes.MultiplyAdd(x, v, b2);
                x = TLanes.Broadcast(x3[k]);
                a3 = TLanes.MultiplyAdd(x, u, a3);
                if (sizeof(TVectors) > 1) b3 = TLanes.MultiplyAdd(x, v, b3);
                if (sizeof(TRows) > 4)
                {
                    x = TLanes.Broadcast(x4[k]);
                    a4 = TLanes.MultiplyAdd(x, u, a4);
                    if (sizeof(TVectors) > 1) b4 = TLanes.MultiplyAdd(x, v, b4);
                    x = TLanes.Broadcast(x5[k]);
                    a5 = TLanes.MultiplyAdd(x, u, a5);
                    if (sizeof(TVectors) > 1) b5 = TLanes.MultiplyAdd(x, v, b5);
                }
                if (sizeof(TRows) > 6)
                {
                    x = TLanes.Broadcast(x6[k]);
                    a6 = TLanes.MultiplyAdd(x, u, a6);
                    if (sizeof(TVectors) > 1) b6 = TLanes.MultiplyAdd(x, v, b6);
                    x = TLanes.Broadcast(x7[k]);
                    a7 = TLanes.MultiplyAdd(x, u, a7);
                    if (sizeof(TVectors) > 1) b7 = TLanes.MultiplyAdd(x, v, b7);
                }
            }
        }
        Store(output + outputs[0], a0, b0);
        Store(output + outputs[1], a1, b1);
        Store(output + outputs[2], a2, b2);
        Store(output + outputs[3], a3, b3);
        if (sizeof(TRows) > 4)
        {
            Store(output + outputs[4], a4, b4);
            Store(output + outputs[5], a5, b5);
        }
        if (sizeof(TRows) > 6)
        {
            Store(output + outputs[6], a6, b6);
            Store(output + outputs[7], a7, b7);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(float* target, TVector a, TVector b)
    {
        TLanes.Store(target, a);
        if (sizeof(TVectors) > 1) TLanes.Store(target + TLanes.Width, b);
    }
}

/// <summary>Arguments of a <see cref="GemmMicroKernel{TVector, TLanes, TRows, TVectors, TSteps}"/>: the product of a few rows by one or two vectors of columns.</summary>
/// <remarks>
/// output[OutputOffsets[r] + j] (+)= sum over segments s and steps k of
/// input[RowOffsets[r] + SegmentOffsets[s] + offset(k)] * columns[(s * Steps + k) * ColumnsPitch + j], where offset(k) is k, or
/// StepOffsets[k] in products that gather their steps.
/// </remarks>
internal unsafe struct GemmTile
{
    public float* Input;

    /// <summary>Input offset of each row of the register tile.</summary>
    public int* RowOffsets;

    /// <summary>Input offset of each segment.</summary>
    public int* SegmentOffsets;

    public int Segments;

    /// <summary>Number of products that are summed in each segment.</summary>
    public int Steps;

    /// <summary>Input offset of each step; not used if the steps are consecutive floats.</summary>
    public int* StepOffsets;

    /// <summary>The other operand, [segment][step][one or two vectors].</summary>
    public float* Columns;

    /// <summary>Floats from the columns of one step to those of the next.</summary>
    public nint ColumnsPitch;

    public float* Output;

    /// <summary>Output offset of each row.</summary>
    public int* OutputOffsets;

    /// <summary>True to add the product to the output; false to overwrite the output.</summary>
    public bool Accumulate;
}
