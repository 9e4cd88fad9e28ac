using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using RepVgg.Simd;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>Six rows by one or two 256-bit vectors: twelve accumulators, two weights and one input fill the sixteen registers.</summary>
internal sealed unsafe class TileKernelsAvx2 : TileKernels
{
    public override string Name => "AVX2";

    public override int Rows => 6;

    public override int VectorLength => 8;

    public override WinogradTransforms Winograd { get; } = new WinogradTransforms<Vector256<float>, Lanes256>();

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void PixelsTimesTwoVectors(in PixelTile tile)
    {
        Vector256<float> c00 = Vector256<float>.Zero, c10 = Vector256<float>.Zero, c20 = Vector256<float>.Zero, c30 = Vector256<float>.Zero, c40 = Vector256<float>.Zero, c50 = Vector256<float>.Zero;
        Vector256<float> c01 = Vector256<float>.Zero, c11 = Vector256<float>.Zero, c21 = Vector256<float>.Zero, c31 = Vector256<float>.Zero, c41 = Vector256<float>.Zero, c51 = Vector256<float>.Zero;
        float* output = tile.Output;
        int* outputs = tile.OutputOffsets;
        if (tile.Accumulate)
        {
            c00 = Vector256.Load(output + outputs[0]);
            c01 = Vector256.Load(output + outputs[0] + 8);
            c10 = Vector256.Load(output + outputs[1]);
            c11 = Vector256.Load(output + outputs[1] + 8);
            c20 = Vector256.Load(output + outputs[2]);
            c21 = Vector256.Load(output + outputs[2] + 8);
            c30 = Vector256.Load(output + outputs[3]);
            c31 = Vector256.Load(output + outputs[3] + 8);
            c40 = Vector256.Load(output + outputs[4]);
            c41 = Vector256.Load(output + outputs[4] + 8);
            c50 = Vector256.Load(output + outputs[5]);
            c51 = Vector256.Load(output + outputs[5] + 8);
        }
        int* inputs = tile.InputOffsets;
        float* w = tile.Weights;
        nint channels = tile.Channels;
        for (int tap = 0; tap < tile.Taps; tap++)
        {
            float* x = tile.Input + tile.TapOffsets[tap];
            float* x0 = x + inputs[0], x1 = x + inputs[1], x2 = x + inputs[2], x3 = x + inputs[3], x4 = x + inputs[4], x5 = x + inputs[5];
            for (nint k = 0; k < channels; k++)
            {
                var w0 = Vector256.Load(w);
                var w1 = Vector256.Load(w + 8);
                w += 2 * 8;
                var v0 = Vector256.Create(x0[k]);
                c00 = Fma.MultiplyAdd(v0, w0, c00);
                c01 = Fma.MultiplyAdd(v0, w1, c01);
                var v1 = Vector256.Create(x1[k]);
                c10 = Fma.MultiplyAdd(v1, w0, c10);
                c11 = Fma.MultiplyAdd(v1, w1, c11);
                var v2 = Vector256.Create(x2[k]);
                c20 = Fma.MultiplyAdd(v2, w0, c20);
                c21 = Fma.MultiplyAdd(v2, w1, c21);
                var v3 = Vector256.Create(x3[k]);
                c30 = Fma.MultiplyAdd(v3, w0, c30);
                c31 = Fma.MultiplyAdd(v3, w1, c31);
                var v4 = Vector256.Create(x4[k]);
                c40 = Fma.MultiplyAdd(v4, w0, c40);
                c41 = Fma.MultiplyAdd(v4, w1, c41);
                var v5 = Vector256.Create(x5[k]);
                c50 = Fma.MultiplyAdd(v5, w0, c50);
                c51 = Fma.MultiplyAdd(v5, w1, c51);
            }
        }
        c00.Store(output + outputs[0]);
        c01.Store(output + outputs[0] + 8);
        c10.Store(output + outputs[1]);
        c11.Store(output + outputs[1] + 8);
        c20.Store(output + outputs[2]);
        c21.Store(output + outputs[2] + 8);
        c30.Store(output + outputs[3]);
        c31.Store(output + outputs[3] + 8);
        c40.Store(output + outputs[4]);
        c41.Store(output + outputs[4] + 8);
        c50.Store(output + outputs[5]);
        c51.Store(output + outputs[5] + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void PixelsTimesOneVector(in PixelTile tile)
    {
        Vector256<float> c00 = Vector256<float>.Zero, c10 = Vector256<float>.Zero, c20 = Vector256<float>.Zero, c30 = Vector256<float>.Zero, c40 = Vector256<float>.Zero, c50 = Vector256<float>.Zero;
        float* output = tile.Output;
        int* outputs = tile.OutputOffsets;
        if (tile.Accumulate)
        {
            c00 = Vector256.Load(output + outputs[0]);
            c10 = Vector256.Load(output + outputs[1]);
            c20 = Vector256.Load(output + outputs[2]);
            c30 = Vector256.Load(output + outputs[3]);
            c40 = Vector256.Load(output + outputs[4]);
            c50 = Vector256.Load(output + outputs[5]);
        }
        int* inputs = tile.InputOffsets;
        float* w = tile.Weights;
        nint channels = tile.Channels;
        for (int tap = 0; tap < tile.Taps; tap++)
        {
            float* x = tile.Input + tile.TapOffsets[tap];
            float* x0 = x + inputs[0], x1 = x + inputs[1], x2 = x + inputs[2], x3 = x + inputs[3], x4 = x + inputs[4], x5 = x + inputs[5];
            for (nint k = 0; k < channels; k++)
            {
                var w0 = Vector256.Load(w);
                w += 8;
                c00 = Fma.MultiplyAdd(Vector256.Create(x0[k]), w0, c00);
                c10 = Fma.MultiplyAdd(Vector256.Create(x1[k]), w0, c10);
                c20 = Fma.MultiplyAdd(Vector256.Create(x2[k]), w0, c20);
                c30 = Fma.MultiplyAdd(Vector256.Create(x3[k]), w0, c30);
                c40 = Fma.MultiplyAdd(Vector256.Create(x4[k]), w0, c40);
                c50 = Fma.MultiplyAdd(Vector256.Create(x5[k]), w0, c50);
            }
        }
        c00.Store(output + outputs[0]);
        c10.Store(output + outputs[1]);
        c20.Store(output + outputs[2]);
        c30.Store(output + outputs[3]);
        c40.Store(output + outputs[4]);
        c50.Store(output + outputs[5]);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void WeightsTimesTwoVectors(in WeightTile tile)
    {
        float* output = tile.Output;
        nint stride = tile.OutputStride;
        var c00 = Vector256.Load(output);
        var c01 = Vector256.Load(output + 8);
        var c10 = Vector256.Load(output + stride);
        var c11 = Vector256.Load(output + stride + 8);
        var c20 = Vector256.Load(output + 2 * stride);
        var c21 = Vector256.Load(output + 2 * stride + 8);
        var c30 = Vector256.Load(output + 3 * stride);
        var c31 = Vector256.Load(output + 3 * stride + 8);
        var c40 = Vector256.Load(output + 4 * stride);
        var c41 = Vector256.Load(output + 4 * stride + 8);
        var c50 = Vector256.Load(output + 5 * stride);
        var c51 = Vector256.Load(output + 5 * stride + 8);
        int* pixels = tile.PixelOffsets;
        int* end = pixels + tile.Pixels;
        float* gradient = tile.Gradient;
        float* input = tile.Input;
        nint gradientStride = tile.GradientStride;
        for (; pixels < end; pixels++)
        {
            float* x = input + *pixels;
            var g0 = Vector256.Load(gradient);
            var g1 = Vector256.Load(gradient + 8);
            gradient += gradientStride;
            var v0 = Vector256.Create(x[0]);
            c00 = Fma.MultiplyAdd(v0, g0, c00);
            c01 = Fma.MultiplyAdd(v0, g1, c01);
            var v1 = Vector256.Create(x[1]);
            c10 = Fma.MultiplyAdd(v1, g0, c10);
            c11 = Fma.MultiplyAdd(v1, g1, c11);
            var v2 = Vector256.Create(x[2]);
            c20 = Fma.MultiplyAdd(v2, g0, c20);
            c21 = Fma.MultiplyAdd(v2, g1, c21);
            var v3 = Vector256.Create(x[3]);
            c30 = Fma.MultiplyAdd(v3, g0, c30);
            c31 = Fma.MultiplyAdd(v3, g1, c31);
            var v4 = Vector256.Create(x[4]);
            c40 = Fma.MultiplyAdd(v4, g0, c40);
            c41 = Fma.MultiplyAdd(v4, g1, c41);
            var v5 = Vector256.Create(x[5]);
            c50 = Fma.MultiplyAdd(v5, g0, c50);
            c51 = Fma.MultiplyAdd(v5, g1, c51);
        }
        c00.Store(output);
        c01.Store(output + 8);
        c10.Store(output + stride);
        c11.Store(output + stride + 8);
        c20.Store(output + 2 * stride);
        c21.Store(output + 2 * stride + 8);
        c30.Store(output + 3 * stride);
        c31.Store(output + 3 * stride + 8);
        c40.Store(output + 4 * stride);
        c41.Store(output + 4 * stride + 8);
        c50.Store(output + 5 * stride);
        c51.Store(output + 5 * stride + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void WeightsTimesOneVector(in WeightTile tile)
    {
        float* output = tile.Output;
        nint stride = tile.OutputStride;
        var c00 = Vector256.Load(output);
        var c10 = Vector256.Load(output + stride);
        var c20 = Vector256.Load(output + 2 * stride);
        var c30 = Vector256.Load(output + 3 * stride);
        var c40 = Vector256.Load(output + 4 * stride);
        var c50 = Vector256.Load(output + 5 * stride);
        int* pixels = tile.PixelOffsets;
        int* end = pixels + tile.Pixels;
        float* gradient = tile.Gradient;
        float* input = tile.Input;
        nint gradientStride = tile.GradientStride;
        for (; pixels < end; pixels++)
        {
            float* x = input + *pixels;
            var g0 = Vector256.Load(gradient);
            gradient += gradientStride;
            c00 = Fma.MultiplyAdd(Vector256.Create(x[0]), g0, c00);
            c10 = Fma.MultiplyAdd(Vector256.Create(x[1]), g0, c10);
            c20 = Fma.MultiplyAdd(Vector256.Create(x[2]), g0, c20);
            c30 = Fma.MultiplyAdd(Vector256.Create(x[3]), g0, c30);
            c40 = Fma.MultiplyAdd(Vector256.Create(x[4]), g0, c40);
            c50 = Fma.MultiplyAdd(Vector256.Create(x[5]), g0, c50);
        }
        c00.Store(output);
        c10.Store(output + stride);
        c20.Store(output + 2 * stride);
        c30.Store(output + 3 * stride);
        c40.Store(output + 4 * stride);
        c50.Store(output + 5 * stride);
    }
}
