using System.Runtime.CompilerServices;
using RepVgg.Runtime.Simd;

namespace RepVgg.Runtime.Winograd;

/// <summary>The transforms of Winograd's algorithm F(4x4, 3x3), vectorised over channels; see <see cref="WinogradTransforms{TVector, TLanes}"/>.</summary>
internal abstract unsafe class WinogradTransforms
{
    /// <summary>Input transform of one patch: V = B^T d B.</summary>
    /// <param name="patch">6x6 pixels, each of <paramref name="channels"/> floats.</param>
    /// <param name="rowStride">Floats from one row of the patch to the next.</param>
    /// <param name="channels">Number of channels, a multiple of the vector length.</param>
    /// <param name="points">Destination of the 36 points, <paramref name="pointStride"/> floats apart.</param>
    /// <param name="pointStride">Floats from one point to the next.</param>
    public abstract void Input(float* patch, long rowStride, int channels, float* points, long pointStride);

    /// <summary>Output transform of one tile: y = A^T M A. Only the given numbers of rows and columns, which are inside the image, are written.</summary>
    /// <param name="points">The 36 points, each of <paramref name="channels"/> floats.</param>
    /// <param name="pointStride">Floats from one point to the next.</param>
    /// <param name="channels">Number of channels, a multiple of the vector length.</param>
    /// <param name="output">Destination of the first pixel.</param>
    /// <param name="pixelStride">Floats from one pixel of a row to the next.</param>
    /// <param name="rowStride">Floats from one row to the next.</param>
    /// <param name="rows">Number of rows of the tile to write.</param>
    /// <param name="columns">Number of pixels of a row to write.</param>
    /// <param name="accumulate">Whether to add to the output.</param>
    public abstract void Output(float* points, long pointStride, int channels, float* output, int pixelStride, long rowStride, int rows, int columns, bool accumulate);

    /// <summary>Transform of the output gradient of one tile for the weight gradient: D = A dy A^T. Pixels outside the image are treated as zero.</summary>
    public abstract void OutputGradient(float* gradient, long rowStride, int rows, int columns, int channels, float* points, long pointStride);

    /// <summary>Filter transform: U = G g G^T for every element of the taps.</summary>
    /// <param name="filter">Nine taps, each of <paramref name="count"/> floats.</param>
    /// <param name="tapStride">Floats from one tap to the next.</param>
    /// <param name="count">Floats per tap, a multiple of the vector length.</param>
    /// <param name="points">Destination of the 36 points.</param>
    /// <param name="pointStride">Floats from one point to the next.</param>
    public abstract void Filter(float* filter, long tapStride, int count, float* points, long pointStride);

    /// <summary>Transform of the gradient with respect to the transform points to the filter gradient: dg = G^T dU G.</summary>
    public abstract void FilterGradient(float* points, long pointStride, int count, float* filter, long tapStride);
}

/// <summary>The transforms of F(4x4, 3x3) with the interpolation points 0, +-sqrt(1/2), +-sqrt(2) and infinity, which result in small rounding errors.</summary>
/// <remarks>
/// Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016; the matrices follow from the
/// points by the Toom-Cook construction. Each two-dimensional transform applies the one-dimensional transform to the
/// columns first, then to the rows. The lanes of a vector are consecutive channels (in the filter transforms: consecutive
/// elements of a tap).
/// </remarks>
internal sealed unsafe class WinogradTransforms<TVector, TLanes> : WinogradTransforms
    where TVector : unmanaged
    where TLanes : ILanes<TVector>
{
    private const float SqrtHalf = 0.70710678118654752f;
    private const float SqrtTwo = 1.41421356237309505f;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Input(float* patch, long rowStride, int channels, float* points, long pointStride)
    {
        float* memory = stackalloc float[WinogradTile.AllPoints * 16 + CacheLine.Floats];
        float* intermediate = CacheLine.Align(memory);
        int width = TLanes.Width;
        for (int c = 0; c < channels; c += width)
        {
            for (int x = 0; x < WinogradTile.Points; x++)
            {
                float* p = patch + c + (long)x * channels;
                InputLine(TLanes.Load(p), TLanes.Load(p + rowStride), TLanes.Load(p + 2 * rowStride), TLanes.Load(p + 3 * rowStride),
                    TLanes.Load(p + 4 * rowStride), TLanes.Load(p + 5 * rowStride), intermediate + x * width, WinogradTile.Points * width);
            }
            for (int y = 0; y < WinogradTile.Points; y++)
            {
                float* h = intermediate + y * WinogradTile.Points * width;
                InputLine(TLanes.Load(h), TLanes.Load(h + width), TLanes.Load(h + 2 * width), TLanes.Load(h + 3 * width),
                    TLanes.Load(h + 4 * width), TLanes.Load(h + 5 * width), points + c + y * WinogradTile.Points * pointStride, pointStride);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Output(float* points, long pointStride, int channels, float* output, int pixelStride, long rowStride, int rows, int columns, bool accumulate)
    {
        float* memory = stackalloc float[WinogradTile.Points * WinogradTile.Size * 16 + CacheLine.Floats];
        float* line = stackalloc float[WinogradTile.Size * 16 + CacheLine.Floats];
        float* intermediate = CacheLine.Align(memory);
        float* result = CacheLine.Align(line);
        int width = TLanes.Width;
        for (int c = 0; c < channels; c += width)
        {
            for (int x = 0; x < WinogradTile.Points; x++)
            {
                float* p = points + c + x * pointStride;
                long down = WinogradTile.Points * pointStride;
                OutputLine(TLanes.Load(p), TLanes.Load(p + down), TLanes.Load(p + 2 * down), TLanes.Load(p + 3 * down),
                    TLanes.Load(p + 4 * down), TLanes.Load(p + 5 * down), intermediate + x * width, WinogradTile.Points * width);
            }
            for (int y = 0; y < rows; y++)
            {
                float* h = intermediate + y * WinogradTile.Points * width;
                OutputLine(TLanes.Load(h), TLanes.Load(h + width), TLanes.Load(h + 2 * width), TLanes.Load(h + 3 * width),
                    TLanes.Load(h + 4 * width), TLanes.Load(h + 5 * width), result, width);
                float* to = output + c + y * rowStride;
                for (int x = 0; x < columns; x++, to += pixelStride)
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
        float* memory = stackalloc float[WinogradTile.Points * WinogradTile.Size * 16 + CacheLine.Floats];
        float* intermediate = CacheLine.Align(memory);
        int width = TLanes.Width;
        for (int c = 0; c < channels; c += width)
        {
            for (int x = 0; x < WinogradTile.Size; x++)
            {
                float* p = gradient + c + (long)x * channels;
                bool inside = x < columns;
                GradientLine(
                    inside ? TLanes.Load(p) : TLanes.Zero,
                    inside && rows > 1 ? TLanes.Load(p + rowStride) : TLanes.Zero,
                    inside && rows > 2 ? TLanes.Load(p + 2 * rowStride) : TLanes.Zero,
                    inside && rows > 3 ? TLanes.Load(p + 3 * rowStride) : TLanes.Zero,
                    intermediate + x * width, WinogradTile.Size * width);
            }
            for (int y = 0; y < WinogradTile.Points; y++)
            {
                float* h = intermediate + y * WinogradTile.Size * width;
                GradientLine(TLanes.Load(h), TLanes.Load(h + width), TLanes.Load(h + 2 * width), TLanes.Load(h + 3 * width),
                    points + c + y * WinogradTile.Points * pointStride, pointStride);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Filter(float* filter, long tapStride, int count, float* points, long pointStride)
    {
        float* memory = stackalloc float[WinogradTile.Points * 3 * 16 + CacheLine.Floats];
        float* intermediate = CacheLine.Align(memory);
        int width = TLanes.Width;
        for (int i = 0; i < count; i += width)
        {
            for (int x = 0; x < 3; x++)
            {
                float* k = filter + i + x * tapStride;
                FilterLine(TLanes.Load(k), TLanes.Load(k + 3 * tapStride), TLanes.Load(k + 6 * tapStride), intermediate + x * width, 3 * width);
            }
            for (int y = 0; y < WinogradTile.Points; y++)
            {
                float* h = intermediate + y * 3 * width;
                FilterLine(TLanes.Load(h), TLanes.Load(h + width), TLanes.Load(h + 2 * width), points + i + y * WinogradTile.Points * pointStride, pointStride);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void FilterGradient(float* points, long pointStride, int count, float* filter, long tapStride)
    {
        float* memory = stackalloc float[WinogradTile.Points * 3 * 16 + CacheLine.Floats];
        float* intermediate = CacheLine.Align(memory);
        int width = TLanes.Width;
        for (int i = 0; i < count; i += width)
        {
            for (int x = 0; x < WinogradTile.Points; x++)
            {
                float* p = points + i + x * pointStride;
                long down = WinogradTile.Points * pointStride;
                FilterGradientLine(TLanes.Load(p), TLanes.Load(p + down), TLanes.Load(p + 2 * down), TLanes.Load(p + 3 * down),
                    TLanes.Load(p + 4 * down), TLanes.Load(p + 5 * down), intermediate + x * width, WinogradTile.Points * width);
            }
            for (int y = 0; y < 3; y++)
            {
                float* h = intermediate + y * WinogradTile.Points * width;
                FilterGradientLine(TLanes.Load(h), TLanes.Load(h + width), TLanes.Load(h + 2 * width), TLanes.Load(h + 3 * width),
                    TLanes.Load(h + 4 * width), TLanes.Load(h + 5 * width), filter + i + y * 3 * tapStride, tapStride);
            }
        }
    }

    /// <summary>One-dimensional input transform, B^T d. Row i of B^T has the coefficients of the product of (x - q) over all finite points q except point i.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void InputLine(TVector d0, TVector d1, TVector d2, TVector d3, TVector d4, TVector d5, float* to, long stride)
    {
        var small = Times(d3, SqrtHalf, Times(d1, -SqrtTwo));
        var large = Times(d3, SqrtTwo, Times(d1, -SqrtHalf));
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
        TLanes.Store(to + stride, Times(d, SqrtHalf, Times(e, SqrtTwo)));
        TLanes.Store(to + 2 * stride, Times(s, 0.5f, TLanes.Add(t, t)));
        TLanes.Store(to + 3 * stride, Times(d, SqrtHalf / 2, Times(e, 2 * SqrtTwo, m5)));
    }

    /// <summary>One-dimensional transform of the output gradient, A e: the polynomial with coefficients e0 to e3 at each point; e3 at infinity.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void GradientLine(TVector e0, TVector e1, TVector e2, TVector e3, float* to, long stride)
    {
        var evenSmall = Times(e2, 0.5f, e0);
        var evenLarge = TLanes.Add(e0, TLanes.Add(e2, e2));
        var small = Times(e1, SqrtHalf, Times(e3, SqrtHalf / 2));
        var large = Times(e1, SqrtTwo, Times(e3, 2 * SqrtTwo));
        TLanes.Store(to, e0);
        TLanes.Store(to + stride, TLanes.Add(evenSmall, small));
        TLanes.Store(to + 2 * stride, TLanes.Subtract(evenSmall, small));
        TLanes.Store(to + 3 * stride, TLanes.Add(evenLarge, large));
        TLanes.Store(to + 4 * stride, TLanes.Subtract(evenLarge, large));
        TLanes.Store(to + 5 * stride, e3);
    }

    /// <summary>
    /// One-dimensional filter transform, G g: the polynomial with coefficients g0 to g2 at each finite point, divided by
    /// the product of its differences to the other finite points; g2 at infinity.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FilterLine(TVector g0, TVector g1, TVector g2, float* to, long stride)
    {
        var evenSmall = Times(TLanes.Add(g0, Times(g2, 0.5f)), -2f / 3);
        var evenLarge = Times(TLanes.Add(g0, TLanes.Add(g2, g2)), 1f / 6);
        var small = Times(g1, -2f / 3 * SqrtHalf);
        var large = Times(g1, SqrtTwo / 6);
        TLanes.Store(to, g0);
        TLanes.Store(to + stride, TLanes.Add(evenSmall, small));
        TLanes.Store(to + 2 * stride, TLanes.Subtract(evenSmall, small));
        TLanes.Store(to + 3 * stride, TLanes.Add(evenLarge, large));
        TLanes.Store(to + 4 * stride, TLanes.Subtract(evenLarge, large));
        TLanes.Store(to + 5 * stride, g2);
    }

    /// <summary>One-dimensional transform of the filter gradient, G^T u.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FilterGradientLine(TVector u0, TVector u1, TVector u2, TVector u3, TVector u4, TVector u5, float* to, long stride)
    {
        TVector s = TLanes.Add(u1, u2), d = TLanes.Subtract(u1, u2), t = TLanes.Add(u3, u4), e = TLanes.Subtract(u3, u4);
        TLanes.Store(to, TLanes.Add(u0, Times(s, -2f / 3, Times(t, 1f / 6))));
        TLanes.Store(to + stride, Times(d, -2f / 3 * SqrtHalf, Times(e, SqrtTwo / 6)));
        TLanes.Store(to + 2 * stride, TLanes.Add(u5, Times(s, -1f / 3, Times(t, 1f / 3))));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Times(TVector a, float factor) => TLanes.Multiply(a, TLanes.Broadcast(factor));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Times(TVector a, float factor, TVector added) => TLanes.MultiplyAdd(a, TLanes.Broadcast(factor), added);
}
