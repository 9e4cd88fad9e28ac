using System.Runtime.CompilerServices;
using RepVgg.Runtime.Simd;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>The transforms of F(4x4, 3x3) with the interpolation points 0, +-sqrt(1/2), +-sqrt(2) and infinity, which result in small rounding errors.</summary>
/// <remarks>
/// Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016; the matrices follow from the
/// points by the Toom-Cook construction. Each two-dimensional transform applies the one-dimensional transform to the
/// columns first, then to the rows. The lanes of a vector are consecutive channels (in the kernel transforms: consecutive
/// elements of a tap).
/// </remarks>
internal sealed unsafe class WinogradTransforms<TVector, TLanes> : WinogradTransforms
    where TVector : unmanaged
    where TLanes : ILanes<TVector>
{
    private const float A = 0.70710678118654752f;
    private const float B = 1.41421356237309505f;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Input(float* patch, long rowStride, int channels, float* points, long pointStride)
    {
        float* space = stackalloc float[AllPoints * 16 + CacheLine.Floats];
        float* half = CacheLine.Align(space);
        int width = TLanes.Width;
        for (int c = 0; c < channels; c += width)
        {
            for (int x = 0; x < Points; x++)
            {
                float* p = patch + c + (long)x * channels;
                InputLine(TLanes.Load(p), TLanes.Load(p + rowStride), TLanes.Load(p + 2 * rowStride), TLanes.Load(p + 3 * rowStride),
                    TLanes.Load(p + 4 * rowStride), TLanes.Load(p + 5 * rowStride), half + x * width, Points * width);
            }
            for (int y = 0; y < Points; y++)
            {
                float* h = half + y * Points * width;
                InputLine(TLanes.Load(h), TLanes.Load(h + width), TLanes.Load(h + 2 * width), TLanes.Load(h + 3 * width),
                    TLanes.Load(h + 4 * width), TLanes.Load(h + 5 * width), points + c + y * Points * pointStride, pointStride);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Output(float* points, long pointStride, int channels, float* output, long rowStride, int rows, int columns, bool accumulate)
    {
        float* space = stackalloc float[Points * TileSize * 16 + CacheLine.Floats];
        float* line = stackalloc float[TileSize * 16 + CacheLine.Floats];
        float* half = CacheLine.Align(space);
        float* result = CacheLine.Align(line);
        int width = TLanes.Width;
        for (int c = 0; c < channels; c += width)
        {
            for (int x = 0; x < Points; x++)
            {
                float* p = points + c + x * pointStride;
                long down = Points * pointStride;
                OutputLine(TLanes.Load(p), TLanes.Load(p + down), TLanes.Load(p + 2 * down), TLanes.Load(p + 3 * down),
                    TLanes.Load(p + 4 * down), TLanes.Load(p + 5 * down), half + x * width, Points * width);
            }
            for (int y = 0; y < rows; y++)
            {
                float* h = half + y * Points * width;
                OutputLine(TLanes.Load(h), TLanes.Load(h + width), TLanes.Load(h + 2 * width), TLanes.Load(h + 3 * width),
                    TLanes.Load(h + 4 * width), TLanes.Load(h + 5 * width), result, width);
                float* to = output + c + y * rowStride;
                for (int x = 0; x < columns; x++, to += channels)
                {
                    var value = TLanes.Load(result + x * width);
                    TLanes.Store(to, accumulate ? TLanes.Add(value, TLanes.Load(to)) : value);
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void OutputGradient(float* gradient, long rowStride, int rows, int columns, int channels, float* points, long pointStride)
    {
        float* space = stackalloc float[Points * TileSize * 16 + CacheLine.Floats];
        float* half = CacheLine.Align(space);
        int width = TLanes.Width;
        for (int c = 0; c < channels; c += width)
        {
            for (int x = 0; x < TileSize; x++)
            {
                float* p = gradient + c + (long)x * channels;
                bool inside = x < columns;
                GradientLine(
                    inside ? TLanes.Load(p) : TLanes.Zero,
                    inside && rows > 1 ? TLanes.Load(p + rowStride) : TLanes.Zero,
                    inside && rows > 2 ? TLanes.Load(p + 2 * rowStride) : TLanes.Zero,
                    inside && rows > 3 ? TLanes.Load(p + 3 * rowStride) : TLanes.Zero,
                    half + x * width, TileSize * width);
            }
            for (int y = 0; y < Points; y++)
            {
                float* h = half + y * TileSize * width;
                GradientLine(TLanes.Load(h), TLanes.Load(h + width), TLanes.Load(h + 2 * width), TLanes.Load(h + 3 * width),
                    points + c + y * Points * pointStride, pointStride);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Kernel(float* kernel, long tapStride, int count, float* points, long pointStride)
    {
        float* space = stackalloc float[Points * 3 * 16 + CacheLine.Floats];
        float* half = CacheLine.Align(space);
        int width = TLanes.Width;
        for (int i = 0; i < count; i += width)
        {
            for (int x = 0; x < 3; x++)
            {
                float* k = kernel + i + x * tapStride;
                KernelLine(TLanes.Load(k), TLanes.Load(k + 3 * tapStride), TLanes.Load(k + 6 * tapStride), half + x * width, 3 * width);
            }
            for (int y = 0; y < Points; y++)
            {
                float* h = half + y * 3 * width;
                KernelLine(TLanes.Load(h), TLanes.Load(h + width), TLanes.Load(h + 2 * width), points + i + y * Points * pointStride, pointStride);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void KernelGradient(float* points, long pointStride, int count, float* kernel, long tapStride)
    {
        float* space = stackalloc float[Points * 3 * 16 + CacheLine.Floats];
        float* half = CacheLine.Align(space);
        int width = TLanes.Width;
        for (int i = 0; i < count; i += width)
        {
            for (int x = 0; x < Points; x++)
            {
                float* p = points + i + x * pointStride;
                long down = Points * pointStride;
                KernelGradientLine(TLanes.Load(p), TLanes.Load(p + down), TLanes.Load(p + 2 * down), TLanes.Load(p + 3 * down),
                    TLanes.Load(p + 4 * down), TLanes.Load(p + 5 * down), half + x * width, Points * width);
            }
            for (int y = 0; y < 3; y++)
            {
                float* h = half + y * Points * width;
                KernelGradientLine(TLanes.Load(h), TLanes.Load(h + width), TLanes.Load(h + 2 * width), TLanes.Load(h + 3 * width),
                    TLanes.Load(h + 4 * width), TLanes.Load(h + 5 * width), kernel + i + y * 3 * tapStride, tapStride);
            }
        }
    }

    /// <summary>One-dimensional input transform, B^T d. Row i of B^T has the coefficients of the product of (x - q) over all finite points q except point i.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void InputLine(TVector d0, TVector d1, TVector d2, TVector d3, TVector d4, TVector d5, float* to, long stride)
    {
        var small = Times(d3, A, Times(d1, -B));
        var large = Times(d3, B, Times(d1, -A));
        var evenSmall = Times(d2, -2, d4);
        var evenLarge = Times(d2, -0.5f, d4);
        TLanes.Store(to, TLanes.Add(d0, Times(d2, -2.5f, d4)));
        TLanes.Store(to + stride, TLanes.Add(evenSmall, small));
        TLanes.Store(to + 2 * stride, TLanes.Subtract(evenSmall, small));
        TLanes.Store(to + 3 * stride, TLanes.Add(evenLarge, large));
        TLanes.Store(to + 4 * stride, TLanes.Subtract(evenLarge, large));
        TLanes.Store(to + 5 * stride, TLanes.Add(d1, Times(d3, -2.5f, d5)));
    }

    /// <summary>One-dimensional output transform, A^T m. Row k of A^T has the powers k = 0 to 3 of the finite points; infinity contributes to row 3 only.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void OutputLine(TVector m0, TVector m1, TVector m2, TVector m3, TVector m4, TVector m5, float* to, long stride)
    {
        TVector s = TLanes.Add(m1, m2), d = TLanes.Subtract(m1, m2), t = TLanes.Add(m3, m4), e = TLanes.Subtract(m3, m4);
        TLanes.Store(to, TLanes.Add(m0, TLanes.Add(s, t)));
        TLanes.Store(to + stride, Times(d, A, Times(e, B)));
        TLanes.Store(to + 2 * stride, Times(s, 0.5f, TLanes.Add(t, t)));
        TLanes.Store(to + 3 * stride, Times(d, A / 2, Times(e, 2 * B, m5)));
    }

    /// <summary>One-dimensional transform of the output gradient, A e: the polynomial with coefficients e0 to e3 at each point; e3 at infinity.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void GradientLine(TVector e0, TVector e1, TVector e2, TVector e3, float* to, long stride)
    {
        var evenSmall = Times(e2, 0.5f, e0);
        var evenLarge = TLanes.Add(e0, TLanes.Add(e2, e2));
        var small = Times(e1, A, Times(e3, A / 2));
        var large = Times(e1, B, Times(e3, 2 * B));
        TLanes.Store(to, e0);
        TLanes.Store(to + stride, TLanes.Add(evenSmall, small));
        TLanes.Store(to + 2 * stride, TLanes.Subtract(evenSmall, small));
        TLanes.Store(to + 3 * stride, TLanes.Add(evenLarge, large));
        TLanes.Store(to + 4 * stride, TLanes.Subtract(evenLarge, large));
        TLanes.Store(to + 5 * stride, e3);
    }

    /// <summary>
    /// One-dimensional kernel transform, G g: the polynomial with coefficients g0 to g2 at each finite point, divided by
    /// the product of its differences to the other finite points; g2 at infinity.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void KernelLine(TVector g0, TVector g1, TVector g2, float* to, long stride)
    {
        var evenSmall = Times(TLanes.Add(g0, Times(g2, 0.5f)), -2f / 3);
        var evenLarge = Times(TLanes.Add(g0, TLanes.Add(g2, g2)), 1f / 6);
        var small = Times(g1, -2f / 3 * A);
        var large = Times(g1, B / 6);
        TLanes.Store(to, g0);
        TLanes.Store(to + stride, TLanes.Add(evenSmall, small));
        TLanes.Store(to + 2 * stride, TLanes.Subtract(evenSmall, small));
        TLanes.Store(to + 3 * stride, TLanes.Add(evenLarge, large));
        TLanes.Store(to + 4 * stride, TLanes.Subtract(evenLarge, large));
        TLanes.Store(to + 5 * stride, g2);
    }

    /// <summary>One-dimensional transform of the kernel gradient, G^T u.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void KernelGradientLine(TVector u0, TVector u1, TVector u2, TVector u3, TVector u4, TVector u5, float* to, long stride)
    {
        TVector s = TLanes.Add(u1, u2), d = TLanes.Subtract(u1, u2), t = TLanes.Add(u3, u4), e = TLanes.Subtract(u3, u4);
        TLanes.Store(to, TLanes.Add(u0, Times(s, -2f / 3, Times(t, 1f / 6))));
        TLanes.Store(to + stride, Times(d, -2f / 3 * A, Times(e, B / 6)));
        TLanes.Store(to + 2 * stride, TLanes.Add(u5, Times(s, -1f / 3, Times(t, 1f / 3))));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Times(TVector a, float factor) => TLanes.Multiply(a, TLanes.Broadcast(factor));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Times(TVector a, float factor, TVector added) => TLanes.MultiplyAdd(a, TLanes.Broadcast(factor), added);
}
