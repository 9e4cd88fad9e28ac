using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using RepVgg.Simd;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>Four rows by one or two vectors of whatever length the runtime offers.</summary>
internal sealed unsafe class TileKernelsPortable : TileKernels
{
    public override string Name => "portable vectors";

    public override int Rows => 4;

    public override int VectorLength => Vector<float>.Count;

    public override WinogradTransforms Winograd { get; } = new WinogradTransforms<Vector128<float>, Lanes128>();

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void PixelsTimesTwoVectors(in PixelTile tile)
    {
        Vector<float> c00 = Vector<float>.Zero, c10 = Vector<float>.Zero, c20 = Vector<float>.Zero, c30 = Vector<float>.Zero;
        Vector<float> c01 = Vector<float>.Zero, c11 = Vector<float>.Zero, c21 = Vector<float>.Zero, c31 = Vector<float>.Zero;
        float* output = tile.Output;
        int* outputs = tile.OutputOffsets;
        if (tile.Accumulate)
        {
            c00 = Vector.Load(output + outputs[0]);
            c01 = Vector.Load(output + outputs[0] + Vector<float>.Count);
            c10 = Vector.Load(output + outputs[1]);
            c11 = Vector.Load(output + outputs[1] + Vector<float>.Count);
            c20 = Vector.Load(output + outputs[2]);
            c21 = Vector.Load(output + outputs[2] + Vector<float>.Count);
            c30 = Vector.Load(output + outputs[3]);
            c31 = Vector.Load(output + outputs[3] + Vector<float>.Count);
        }
        int* inputs = tile.InputOffsets;
        float* w = tile.Weights;
        nint channels = tile.Channels;
        for (int tap = 0; tap < tile.Taps; tap++)
        {
            float* x = tile.Input + tile.TapOffsets[tap];
            float* x0 = x + inputs[0], x1 = x + inputs[1], x2 = x + inputs[2], x3 = x + inputs[3];
            for (nint k = 0; k < channels; k++)
            {
                var w0 = Vector.Load(w);
                var w1 = Vector.Load(w + Vector<float>.Count);
                w += 2 * Vector<float>.Count;
                var v0 = Vector.Create(x0[k]);
                c00 = Vector.MultiplyAddEstimate(v0, w0, c00);
                c01 = Vector.MultiplyAddEstimate(v0, w1, c01);
                var v1 = Vector.Create(x1[k]);
                c10 = Vector.MultiplyAddEstimate(v1, w0, c10);
                c11 = Vector.MultiplyAddEstimate(v1, w1, c11);
                var v2 = Vector.Create(x2[k]);
                c20 = Vector.MultiplyAddEstimate(v2, w0, c20);
                c21 = Vector.MultiplyAddEstimate(v2, w1, c21);
                var v3 = Vector.Create(x3[k]);
                c30 = Vector.MultiplyAddEstimate(v3, w0, c30);
                c31 = Vector.MultiplyAddEstimate(v3, w1, c31);
            }
        }
        c00.Store(output + outputs[0]);
        c01.Store(output + outputs[0] + Vector<float>.Count);
        c10.Store(output + outputs[1]);
        c11.Store(output + outputs[1] + Vector<float>.Count);
        c20.Store(output + outputs[2]);
        c21.Store(output + outputs[2] + Vector<float>.Count);
        c30.Store(output + outputs[3]);
        c31.Store(output + outputs[3] + Vector<float>.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void PixelsTimesOneVector(in PixelTile tile)
    {
        Vector<float> c00 = Vector<float>.Zero, c10 = Vector<float>.Zero, c20 = Vector<float>.Zero, c30 = Vector<float>.Zero;
        float* output = tile.Output;
        int* outputs = tile.OutputOffsets;
        if (tile.Accumulate)
        {
            c00 = Vector.Load(output + outputs[0]);
            c10 = Vector.Load(output + outputs[1]);
            c20 = Vector.Load(output + outputs[2]);
            c30 = Vector.Load(output + outputs[3]);
        }
        int* inputs = tile.InputOffsets;
        float* w = tile.Weights;
        nint channels = tile.Channels;
        for (int tap = 0; tap < tile.Taps; tap++)
        {
            float* x = tile.Input + tile.TapOffsets[tap];
            float* x0 = x + inputs[0], x1 = x + inputs[1], x2 = x + inputs[2], x3 = x + inputs[3];
            for (nint k = 0; k < channels; k++)
            {
                var w0 = Vector.Load(w);
                w += Vector<float>.Count;
                c00 = Vector.MultiplyAddEstimate(Vector.Create(x0[k]), w0, c00);
                c10 = Vector.MultiplyAddEstimate(Vector.Create(x1[k]), w0, c10);
                c20 = Vector.MultiplyAddEstimate(Vector.Create(x2[k]), w0, c20);
                c30 = Vector.MultiplyAddEstimate(Vector.Create(x3[k]), w0, c30);
            }
        }
        c00.Store(output + outputs[0]);
        c10.Store(output + outputs[1]);
        c20.Store(output + outputs[2]);
        c30.Store(output + outputs[3]);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void WeightsTimesTwoVectors(in WeightTile tile)
    {
        float* output = tile.Output;
        nint stride = tile.OutputStride;
        var c00 = Vector.Load(output);
        var c01 = Vector.Load(output + Vector<float>.Count);
        var c10 = Vector.Load(output + stride);
        var c11 = Vector.Load(output + stride + Vector<float>.Count);
        var c20 = Vector.Load(output + 2 * stride);
        var c21 = Vector.Load(output + 2 * stride + Vector<float>.Count);
        var c30 = Vector.Load(output + 3 * stride);
        var c31 = Vector.Load(output + 3 * stride + Vector<float>.Count);
        int* pixels = tile.PixelOffsets;
        int* end = pixels + tile.Pixels;
        float* gradient = tile.Gradient;
        float* input = tile.Input;
        nint gradientStride = tile.GradientStride;
        for (; pixels < end; pixels++)
        {
            float* x = input + *pixels;
            var g0 = Vector.Load(gradient);
            var g1 = Vector.Load(gradient + Vector<float>.Count);
            gradient += gradientStride;
            var v0 = Vector.Create(x[0]);
            c00 = Vector.MultiplyAddEstimate(v0, g0, c00);
            c01 = Vector.MultiplyAddEstimate(v0, g1, c01);
            var v1 = Vector.Create(x[1]);
            c10 = Vector.MultiplyAddEstimate(v1, g0, c10);
            c11 = Vector.MultiplyAddEstimate(v1, g1, c11);
            var v2 = Vector.Create(x[2]);
            c20 = Vector.MultiplyAddEstimate(v2, g0, c20);
            c21 = Vector.MultiplyAddEstimate(v2, g1, c21);
            var v3 = Vector.Create(x[3]);
            c30 = Vector.MultiplyAddEstimate(v3, g0, c30);
            c31 = Vector.MultiplyAddEstimate(v3, g1, c31);
        }
        c00.Store(output);
        c01.Store(output + Vector<float>.Count);
        c10.Store(output + stride);
        c11.Store(output + stride + Vector<float>.Count);
        c20.Store(output + 2 * stride);
        c21.Store(output + 2 * stride + Vector<float>.Count);
        c30.Store(output + 3 * stride);
        c31.Store(output + 3 * stride + Vector<float>.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void WeightsTimesOneVector(in WeightTile tile)
    {
        float* output = tile.Output;
        nint stride = tile.OutputStride;
        var c00 = Vector.Load(output);
        var c10 = Vector.Load(output + stride);
        var c20 = Vector.Load(output + 2 * stride);
        var c30 = Vector.Load(output + 3 * stride);
        int* pixels = tile.PixelOffsets;
        int* end = pixels + tile.Pixels;
        float* gradient = tile.Gradient;
        float* input = tile.Input;
        nint gradientStride = tile.GradientStride;
        for (; pixels < end; pixels++)
        {
            float* x = input + *pixels;
            var g0 = Vector.Load(gradient);
            gradient += gradientStride;
            c00 = Vector.MultiplyAddEstimate(Vector.Create(x[0]), g0, c00);
            c10 = Vector.MultiplyAddEstimate(Vector.Create(x[1]), g0, c10);
            c20 = Vector.MultiplyAddEstimate(Vector.Create(x[2]), g0, c20);
            c30 = Vector.MultiplyAddEstimate(Vector.Create(x[3]), g0, c30);
        }
        c00.Store(output);
        c10.Store(output + stride);
        c20.Store(output + 2 * stride);
        c30.Store(output + 3 * stride);
    }
}
