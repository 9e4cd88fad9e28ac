using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using RepVgg.Simd;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>Eight rows by one or two 512-bit vectors.</summary>
internal sealed unsafe class TileKernelsAvx512 : TileKernels
{
    public override string Name => "AVX-512";

    public override int Rows => 8;

    public override int VectorLength => 16;

    public override WinogradTransforms Winograd { get; } = new WinogradTransforms<Vector512<float>, Lanes512>();

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void PixelsTimesTwoVectors(in PixelTile tile)
    {
        Vector512<float> c00 = Vector512<float>.Zero, c10 = Vector512<float>.Zero, c20 = Vector512<float>.Zero, c30 = Vector512<float>.Zero, c40 = Vector512<float>.Zero, c50 = Vector512<float>.Zero, c60 = Vector512<float>.Zero, c70 = Vector512<float>.Zero;
        Vector512<float> c01 = Vector512<float>.Zero, c11 = Vector512<float>.Zero, c21 = Vector512<float>.Zero, c31 = Vector512<float>.Zero, c41 = Vector512<float>.Zero, c51 = Vector512<float>.Zero, c61 = Vector512<float>.Zero, c71 = Vector512<float>.Zero;
        float* output = tile.Output;
        int* outputs = tile.OutputOffsets;
        if (tile.Accumulate)
        {
            c00 = Vector512.Load(output + outputs[0]);
            c01 = Vector512.Load(output + outputs[0] + 16);
            c10 = Vector512.Load(output + outputs[1]);
            c11 = Vector512.Load(output + outputs[1] + 16);
            c20 = Vector512.Load(output + outputs[2]);
            c21 = Vector512.Load(output + outputs[2] + 16);
            c30 = Vector512.Load(output + outputs[3]);
            c31 = Vector512.Load(output + outputs[3] + 16);
            c40 = Vector512.Load(output + outputs[4]);
            c41 = Vector512.Load(output + outputs[4] + 16);
            c50 = Vector512.Load(output + outputs[5]);
            c51 = Vector512.Load(output + outputs[5] + 16);
            c60 = Vector512.Load(output + outputs[6]);
            c61 = Vector512.Load(output + outputs[6] + 16);
            c70 = Vector512.Load(output + outputs[7]);
            c71 = Vector512.Load(output + outputs[7] + 16);
        }
        int* inputs = tile.InputOffsets;
        float* w = tile.Weights;
        nint channels = tile.Channels;
        for (int tap = 0; tap < tile.Taps; tap++)
        {
            float* x = tile.Input + tile.TapOffsets[tap];
            float* x0 = x + inputs[0], x1 = x + inputs[1], x2 = x + inputs[2], x3 = x + inputs[3], x4 = x + inputs[4], x5 = x + inputs[5], x6 = x + inputs[6], x7 = x + inputs[7];
            for (nint k = 0; k < channels; k++)
            {
                var w0 = Vector512.Load(w);
                var w1 = Vector512.Load(w + 16);
                w += 2 * 16;
                var v0 = Vector512.Create(x0[k]);
                c00 = Avx512F.FusedMultiplyAdd(v0, w0, c00);
                c01 = Avx512F.FusedMultiplyAdd(v0, w1, c01);
                var v1 = Vector512.Create(x1[k]);
                c10 = Avx512F.FusedMultiplyAdd(v1, w0, c10);
                c11 = Avx512F.FusedMultiplyAdd(v1, w1, c11);
                var v2 = Vector512.Create(x2[k]);
                c20 = Avx512F.FusedMultiplyAdd(v2, w0, c20);
                c21 = Avx512F.FusedMultiplyAdd(v2, w1, c21);
                var v3 = Vector512.Create(x3[k]);
                c30 = Avx512F.FusedMultiplyAdd(v3, w0, c30);
                c31 = Avx512F.FusedMultiplyAdd(v3, w1, c31);
                var v4 = Vector512.Create(x4[k]);
                c40 = Avx512F.FusedMultiplyAdd(v4, w0, c40);
                c41 = Avx512F.FusedMultiplyAdd(v4, w1, c41);
                var v5 = Vector512.Create(x5[k]);
                c50 = Avx512F.FusedMultiplyAdd(v5, w0, c50);
                c51 = Avx512F.FusedMultiplyAdd(v5, w1, c51);
                var v6 = Vector512.Create(x6[k]);
                c60 = Avx512F.FusedMultiplyAdd(v6, w0, c60);
                c61 = Avx512F.FusedMultiplyAdd(v6, w1, c61);
                var v7 = Vector512.Create(x7[k]);
                c70 = Avx512F.FusedMultiplyAdd(v7, w0, c70);
                c71 = Avx512F.FusedMultiplyAdd(v7, w1, c71);
            }
        }
        c00.Store(output + outputs[0]);
        c01.Store(output + outputs[0] + 16);
        c10.Store(output + outputs[1]);
        c11.Store(output + outputs[1] + 16);
        c20.Store(output + outputs[2]);
        c21.Store(output + outputs[2] + 16);
        c30.Store(output + outputs[3]);
        c31.Store(output + outputs[3] + 16);
        c40.Store(output + outputs[4]);
        c41.Store(output + outputs[4] + 16);
        c50.Store(output + outputs[5]);
        c51.Store(output + outputs[5] + 16);
        c60.Store(output + outputs[6]);
        c61.Store(output + outputs[6] + 16);
        c70.Store(output + outputs[7]);
        c71.Store(output + outputs[7] + 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void PixelsTimesOneVector(in PixelTile tile)
    {
        Vector512<float> c00 = Vector512<float>.Zero, c10 = Vector512<float>.Zero, c20 = Vector512<float>.Zero, c30 = Vector512<float>.Zero, c40 = Vector512<float>.Zero, c50 = Vector512<float>.Zero, c60 = Vector512<float>.Zero, c70 = Vector512<float>.Zero;
        float* output = tile.Output;
        int* outputs = tile.OutputOffsets;
        if (tile.Accumulate)
        {
            c00 = Vector512.Load(output + outputs[0]);
            c10 = Vector512.Load(output + outputs[1]);
            c20 = Vector512.Load(output + outputs[2]);
            c30 = Vector512.Load(output + outputs[3]);
            c40 = Vector512.Load(output + outputs[4]);
            c50 = Vector512.Load(output + outputs[5]);
            c60 = Vector512.Load(output + outputs[6]);
            c70 = Vector512.Load(output + outputs[7]);
        }
        int* inputs = tile.InputOffsets;
        float* w = tile.Weights;
        nint channels = tile.Channels;
        for (int tap = 0; tap < tile.Taps; tap++)
        {
            float* x = tile.Input + tile.TapOffsets[tap];
            float* x0 = x + inputs[0], x1 = x + inputs[1], x2 = x + inputs[2], x3 = x + inputs[3], x4 = x + inputs[4], x5 = x + inputs[5], x6 = x + inputs[6], x7 = x + inputs[7];
            for (nint k = 0; k < channels; k++)
            {
                var w0 = Vector512.Load(w);
                w += 16;
                c00 = Avx512F.FusedMultiplyAdd(Vector512.Create(x0[k]), w0, c00);
                c10 = Avx512F.FusedMultiplyAdd(Vector512.Create(x1[k]), w0, c10);
                c20 = Avx512F.FusedMultiplyAdd(Vector512.Create(x2[k]), w0, c20);
                c30 = Avx512F.FusedMultiplyAdd(Vector512.Create(x3[k]), w0, c30);
                c40 = Avx512F.FusedMultiplyAdd(Vector512.Create(x4[k]), w0, c40);
                c50 = Avx512F.FusedMultiplyAdd(Vector512.Create(x5[k]), w0, c50);
                c60 = Avx512F.FusedMultiplyAdd(Vector512.Create(x6[k]), w0, c60);
                c70 = Avx512F.FusedMultiplyAdd(Vector512.Create(x7[k]), w0, c70);
            }
        }
        c00.Store(output + outputs[0]);
        c10.Store(output + outputs[1]);
        c20.Store(output + outputs[2]);
        c30.Store(output + outputs[3]);
        c40.Store(output + outputs[4]);
        c50.Store(output + outputs[5]);
        c60.Store(output + outputs[6]);
        c70.Store(output + outputs[7]);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void WeightsTimesTwoVectors(in WeightTile tile)
    {
        float* output = tile.Output;
        nint stride = tile.OutputStride;
        var c00 = Vector512.Load(output);
        var c01 = Vector512.Load(output + 16);
        var c10 = Vector512.Load(output + stride);
        var c11 = Vector512.Load(output + stride + 16);
        var c20 = Vector512.Load(output + 2 * stride);
        var c21 = Vector512.Load(output + 2 * stride + 16);
        var c30 = Vector512.Load(output + 3 * stride);
        var c31 = Vector512.Load(output + 3 * stride + 16);
        var c40 = Vector512.Load(output + 4 * stride);
        var c41 = Vector512.Load(output + 4 * stride + 16);
        var c50 = Vector512.Load(output + 5 * stride);
        var c51 = Vector512.Load(output + 5 * stride + 16);
        var c60 = Vector512.Load(output + 6 * stride);
        var c61 = Vector512.Load(output + 6 * stride + 16);
        var c70 = Vector512.Load(output + 7 * stride);
        var c71 = Vector512.Load(output + 7 * stride + 16);
        int* pixels = tile.PixelOffsets;
        int* end = pixels + tile.Pixels;
        float* gradient = tile.Gradient;
        float* input = tile.Input;
        nint gradientStride = tile.GradientStride;
        for (; pixels < end; pixels++)
        {
            float* x = input + *pixels;
            var g0 = Vector512.Load(gradient);
            var g1 = Vector512.Load(gradient + 16);
            gradient += gradientStride;
            var v0 = Vector512.Create(x[0]);
            c00 = Avx512F.FusedMultiplyAdd(v0, g0, c00);
            c01 = Avx512F.FusedMultiplyAdd(v0, g1, c01);
            var v1 = Vector512.Create(x[1]);
            c10 = Avx512F.FusedMultiplyAdd(v1, g0, c10);
            c11 = Avx512F.FusedMultiplyAdd(v1, g1, c11);
            var v2 = Vector512.Create(x[2]);
            c20 = Avx512F.FusedMultiplyAdd(v2, g0, c20);
            c21 = Avx512F.FusedMultiplyAdd(v2, g1, c21);
            var v3 = Vector512.Create(x[3]);
            c30 = Avx512F.FusedMultiplyAdd(v3, g0, c30);
            c31 = Avx512F.FusedMultiplyAdd(v3, g1, c31);
            var v4 = Vector512.Create(x[4]);
            c40 = Avx512F.FusedMultiplyAdd(v4, g0, c40);
            c41 = Avx512F.FusedMultiplyAdd(v4, g1, c41);
            var v5 = Vector512.Create(x[5]);
            c50 = Avx512F.FusedMultiplyAdd(v5, g0, c50);
            c51 = Avx512F.FusedMultiplyAdd(v5, g1, c51);
            var v6 = Vector512.Create(x[6]);
            c60 = Avx512F.FusedMultiplyAdd(v6, g0, c60);
            c61 = Avx512F.FusedMultiplyAdd(v6, g1, c61);
            var v7 = Vector512.Create(x[7]);
            c70 = Avx512F.FusedMultiplyAdd(v7, g0, c70);
            c71 = Avx512F.FusedMultiplyAdd(v7, g1, c71);
        }
        c00.Store(output);
        c01.Store(output + 16);
        c10.Store(output + stride);
        c11.Store(output + stride + 16);
        c20.Store(output + 2 * stride);
        c21.Store(output + 2 * stride + 16);
        c30.Store(output + 3 * stride);
        c31.Store(output + 3 * stride + 16);
        c40.Store(output + 4 * stride);
        c41.Store(output + 4 * stride + 16);
        c50.Store(output + 5 * stride);
        c51.Store(output + 5 * stride + 16);
        c60.Store(output + 6 * stride);
        c61.Store(output + 6 * stride + 16);
        c70.Store(output + 7 * stride);
        c71.Store(output + 7 * stride + 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void WeightsTimesOneVector(in WeightTile tile)
    {
        float* output = tile.Output;
        nint stride = tile.OutputStride;
        var c00 = Vector512.Load(output);
        var c10 = Vector512.Load(output + stride);
        var c20 = Vector512.Load(output + 2 * stride);
        var c30 = Vector512.Load(output + 3 * stride);
        var c40 = Vector512.Load(output + 4 * stride);
        var c50 = Vector512.Load(output + 5 * stride);
        var c60 = Vector512.Load(output + 6 * stride);
        var c70 = Vector512.Load(output + 7 * stride);
        int* pixels = tile.PixelOffsets;
        int* end = pixels + tile.Pixels;
        float* gradient = tile.Gradient;
        float* input = tile.Input;
        nint gradientStride = tile.GradientStride;
        for (; pixels < end; pixels++)
        {
            float* x = input + *pixels;
            var g0 = Vector512.Load(gradient);
            gradient += gradientStride;
            c00 = Avx512F.FusedMultiplyAdd(Vector512.Create(x[0]), g0, c00);
            c10 = Avx512F.FusedMultiplyAdd(Vector512.Create(x[1]), g0, c10);
            c20 = Avx512F.FusedMultiplyAdd(Vector512.Create(x[2]), g0, c20);
            c30 = Avx512F.FusedMultiplyAdd(Vector512.Create(x[3]), g0, c30);
            c40 = Avx512F.FusedMultiplyAdd(Vector512.Create(x[4]), g0, c40);
            c50 = Avx512F.FusedMultiplyAdd(Vector512.Create(x[5]), g0, c50);
            c60 = Avx512F.FusedMultiplyAdd(Vector512.Create(x[6]), g0, c60);
            c70 = Avx512F.FusedMultiplyAdd(Vector512.Create(x[7]), g0, c70);
        }
        c00.Store(output);
        c10.Store(output + stride);
        c20.Store(output + 2 * stride);
        c30.Store(output + 3 * stride);
        c40.Store(output + 4 * stride);
        c50.Store(output + 5 * stride);
        c60.Store(output + 6 * stride);
        c70.Store(output + 7 * stride);
    }
}
