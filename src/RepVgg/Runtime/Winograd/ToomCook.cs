using System.Runtime.CompilerServices;
using RepVgg.Runtime.Simd;

namespace RepVgg.Runtime.Winograd;

/// <summary>
/// One-dimensional Toom-Cook convolution, from which the two-dimensional Winograd convolution is built: n samples are
/// transformed to n interpolation points, multiplied point by point with the transformed filter, and transformed back to
/// outputs.
/// </summary>
/// <remarks>
/// <para>
/// The points are, in this order, 0, infinity, 1, -1, 2 and -2; n samples use the first n of them (2 to 6). All factors that
/// depend on n are part of the input transform. The value of a filter at a point is therefore the same for every n, and
/// tiles of all sizes use the same transformed filters.
/// </para>
/// <para>
/// A filter of 2 taps a and b has the value a at 0, b at infinity and a + b p at any other point p. A filter of 3 taps a, b
/// and c is evaluated as the polynomial a + b p + c p^2, scaled by 1/2 at the points 0, 2 and -2. With h = a / 2 its values
/// are h at 0, c at infinity, c + 2 h + b and c + 2 h - b at 1 and -1, and h + 2 c + b and h + 2 c - b at 2 and -2. All four
/// have the form near + 2 far + middle or near + 2 far - middle, so that one kernel can compute them.
/// </para>
/// <para>
/// A filter of 3 taps produces m outputs from m + 2 samples, a filter of 2 taps from m + 1 samples.
/// </para>
/// <para>
/// <see cref="WinogradTile"/> names the source and the other set of points. The transform matrices are those of Lagrange
/// interpolation at the points.
/// </para>
/// </remarks>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal static unsafe class ToomCook<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    /// <summary>
    /// Filter transform of three taps: computes the values at the points 1, -1, 2 and -2. The values at 0 and infinity are
    /// <paramref name="half"/> and <paramref name="last"/>.
    /// </summary>
    /// <param name="half">Half of the first tap.</param>
    /// <param name="middle">The middle tap.</param>
    /// <param name="last">The last tap.</param>
    /// <param name="target">Receives the value at 1.</param>
    /// <param name="pitch">Floats from the value at one point to the value at the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void TransformFilter(TVector half, TVector middle, TVector last, float* target, nint pitch)
    {
        TVector ones = EvenPart(last, half), twos = EvenPart(half, last);
        TLanes.Store(target, TLanes.Add(ones, middle));
        TLanes.Store(target + pitch, TLanes.Subtract(ones, middle));
        TLanes.Store(target + 2 * pitch, TLanes.Add(twos, middle));
        TLanes.Store(target + 3 * pitch, TLanes.Subtract(twos, middle));
    }

    /// <summary>
    /// The even part of a filter of three taps, near + 2 far. Its value at a point p is the even part plus the middle tap, at
    /// -p the even part minus the middle tap. For 1 and -1, near is the last tap and far half of the first; for 2 and -2 the
    /// reverse.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector EvenPart(TVector near, TVector far) => TLanes.Add(TLanes.Add(far, far), near);

    /// <summary>
    /// Filter transform of two taps: computes the values at the points 1, -1 and 2. The values at 0 and infinity are the taps
    /// themselves.
    /// </summary>
    /// <param name="first">The first tap.</param>
    /// <param name="last">The last tap.</param>
    /// <param name="target">Receives the value at 1.</param>
    /// <param name="pitch">Floats from the value at one point to the value at the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void TransformFilter(TVector first, TVector last, float* target, nint pitch)
    {
        TLanes.Store(target, TLanes.Add(first, last));
        TLanes.Store(target + pitch, TLanes.Subtract(first, last));
        TLanes.Store(target + 2 * pitch, TLanes.MultiplyAdd(TLanes.Broadcast(2f), last, first));
    }

    /// <summary>Input transform: computes the values at the points from the samples.</summary>
    /// <param name="wholeTile">Number of samples of a whole tile, 6 or 5; the code for it is inlined.</param>
    /// <param name="samples">Number of samples, 2 to 6.</param>
    /// <param name="source">The first sample, one vector of channels.</param>
    /// <param name="step">Floats from one sample to the next.</param>
    /// <param name="target">Base address of the values.</param>
    /// <param name="offsets">Offset of the value at each point from <paramref name="target"/>, in floats.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void TransformInput(int wholeTile, int samples, float* source, nint step, float* target, nint* offsets)
    {
        if (samples != wholeTile)
            TransformPartialTile(samples, source, step, target, offsets);
        else if (wholeTile == 6)
            TransformSixSamples(source, step, target, offsets);
        else
            TransformFiveSamples(source, step, target, offsets);
    }

    /// <summary>Output transform: computes the outputs from the products at the points.</summary>
    /// <typeparam name="TTaps">Number of taps of the filter, 2 or 3.</typeparam>
    /// <param name="size">Number of outputs, 1 to 4.</param>
    /// <param name="source">Base address of the products.</param>
    /// <param name="offsets">Offset of the product at each point from <paramref name="source"/>, in floats.</param>
    /// <param name="offsetStep">Elements of <paramref name="offsets"/> from one point to the next.</param>
    /// <param name="y0">First output.</param>
    /// <param name="y1">Second output; undefined if <paramref name="size"/> is less than 2.</param>
    /// <param name="y2">Third output; undefined if <paramref name="size"/> is less than 3.</param>
    /// <param name="y3">Fourth output; undefined if <paramref name="size"/> is less than 4.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void TransformOutput<TTaps>(
        int size, float* source, nint* offsets, nint offsetStep, out TVector y0, out TVector y1, out TVector y2, out TVector y3)
        where TTaps : unmanaged, ICount
    {
        TVector zero = TLanes.Load(source + offsets[0]), infinity = TLanes.Load(source + offsets[offsetStep]);
        // Compensates the factor 1/2 of filters of three taps at the points 0, 2 and -2.
        float zeroFactor = sizeof(TTaps) == 3 ? 2f : 1f;
        zero = TLanes.Multiply(TLanes.Broadcast(zeroFactor), zero);
        if (size == 1)
        {
            y0 = TLanes.Add(zero, infinity);
            if (sizeof(TTaps) == 3)
                y0 = TLanes.Add(y0, TLanes.Load(source + offsets[2 * offsetStep]));
            y1 = y2 = y3 = TLanes.Zero;
        }
        else
        {
            int samples = size + TTaps.Value - 1;
            TVector one = TLanes.Load(source + offsets[2 * offsetStep]);
            TVector even = one, odd = one;
            if (samples > 3)
            {
                TVector minusOne = TLanes.Load(source + offsets[3 * offsetStep]);
                even = TLanes.Add(one, minusOne);
                odd = TLanes.Subtract(one, minusOne);
            }
            y0 = TLanes.Add(zero, even);
            y1 = odd;
            y2 = even;
            y3 = odd;
            if (samples > 4)
            {
                TVector two = TLanes.Load(source + offsets[4 * offsetStep]), evenTwo = two, oddTwo = two;
                if (samples > 5)
                {
                    TVector minusTwo = TLanes.Load(source + offsets[5 * offsetStep]);
                    evenTwo = TLanes.Add(two, minusTwo);
                    oddTwo = TLanes.Subtract(two, minusTwo);
                }
                y0 = TLanes.MultiplyAdd(TLanes.Broadcast(zeroFactor), evenTwo, y0);
                y1 = TLanes.MultiplyAdd(TLanes.Broadcast(2 * zeroFactor), oddTwo, y1);
                y2 = TLanes.MultiplyAdd(TLanes.Broadcast(4 * zeroFactor), evenTwo, y2);
                y3 = TLanes.MultiplyAdd(TLanes.Broadcast(8 * zeroFactor), oddTwo, y3);
            }
            if (size == 4)
                y3 = TLanes.Add(y3, infinity);
            else if (size == 3)
                y2 = TLanes.Add(y2, infinity);
            else
                y1 = TLanes.Add(y1, infinity);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TransformSixSamples(float* source, nint step, float* target, nint* offsets)
    {
        TVector d0 = TLanes.Load(source), d1 = TLanes.Load(source + step), d2 = TLanes.Load(source + 2 * step);
        TVector d3 = TLanes.Load(source + 3 * step), d4 = TLanes.Load(source + 4 * step), d5 = TLanes.Load(source + 5 * step);
        TVector four = TLanes.Broadcast(4f), sixth = TLanes.Broadcast(1f / 6), twentyFourth = TLanes.Broadcast(1f / 24);
        TVector oddDifference = TLanes.Subtract(d3, d1), evenDifference = TLanes.Subtract(d4, d2);

        // d0 - 5/4 d2 + 1/4 d4
        TLanes.Store(target + offsets[0], TLanes.MultiplyAdd(TLanes.Broadcast(0.25f), evenDifference, TLanes.Subtract(d0, d2)));
        // 4 d1 - 5 d3 + d5
        TLanes.Store(target + offsets[1], TLanes.Subtract(TLanes.Subtract(d5, d3), TLanes.Multiply(four, oddDifference)));
        // (4 d2 - d4) / 6 plus and minus (4 d1 - d3) / 6
        TVector even = TLanes.Multiply(sixth, TLanes.Subtract(TLanes.Multiply(four, d2), d4));
        TVector odd = TLanes.Multiply(sixth, TLanes.Subtract(TLanes.Multiply(four, d1), d3));
        TLanes.Store(target + offsets[2], TLanes.Add(even, odd));
        TLanes.Store(target + offsets[3], TLanes.Subtract(even, odd));
        // (d4 - d2) / 24 plus and minus (d3 - d1) / 12
        even = TLanes.Multiply(twentyFourth, evenDifference);
        odd = TLanes.Multiply(TLanes.Broadcast(1f / 12), oddDifference);
        TLanes.Store(target + offsets[4], TLanes.Add(even, odd));
        TLanes.Store(target + offsets[5], TLanes.Subtract(even, odd));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TransformFiveSamples(float* source, nint step, float* target, nint* offsets)
    {
        TVector d0 = TLanes.Load(source), d1 = TLanes.Load(source + step), d2 = TLanes.Load(source + 2 * step);
        TVector d3 = TLanes.Load(source + 3 * step), d4 = TLanes.Load(source + 4 * step);
        TVector half = TLanes.Broadcast(0.5f), sixth = TLanes.Broadcast(1f / 6);
        TVector oddDifference = TLanes.Subtract(d3, d1);

        // d0 - d1 / 2 - d2 + d3 / 2
        TLanes.Store(target + offsets[0], TLanes.MultiplyAdd(half, oddDifference, TLanes.Subtract(d0, d2)));
        // 2 d1 - d2 - 2 d3 + d4
        TLanes.Store(target + offsets[1], TLanes.Subtract(TLanes.Subtract(d4, d2), TLanes.Add(oddDifference, oddDifference)));
        // d1 + d2 / 2 - d3 / 2
        TLanes.Store(target + offsets[2], TLanes.MultiplyAdd(half, TLanes.Subtract(d2, d3), d1));
        // -d1 / 3 + d2 / 2 - d3 / 6
        TVector rest = TLanes.MultiplyAdd(TLanes.Broadcast(-1f / 3), d1, TLanes.Multiply(half, d2));
        TLanes.Store(target + offsets[3], TLanes.Subtract(rest, TLanes.Multiply(sixth, d3)));
        // (d3 - d1) / 6
        TLanes.Store(target + offsets[4], TLanes.Multiply(sixth, oddDifference));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void TransformPartialTile(int samples, float* source, nint step, float* target, nint* offsets)
    {
        if (samples == 5)
        {
            TransformFiveSamples(source, step, target, offsets);
            return;
        }
        TVector d0 = TLanes.Load(source), d1 = TLanes.Load(source + step);
        if (samples == 2)
        {
            TLanes.Store(target + offsets[0], d0);
            TLanes.Store(target + offsets[1], d1);
            return;
        }
        TVector d2 = TLanes.Load(source + 2 * step);
        if (samples == 3)
        {
            TLanes.Store(target + offsets[0], TLanes.Subtract(d0, d1));
            TLanes.Store(target + offsets[1], TLanes.Subtract(d2, d1));
            TLanes.Store(target + offsets[2], d1);
            return;
        }
        TVector d3 = TLanes.Load(source + 3 * step), half = TLanes.Broadcast(0.5f);
        TLanes.Store(target + offsets[0], TLanes.Subtract(d0, d2));
        TLanes.Store(target + offsets[1], TLanes.Subtract(d3, d1));
        TLanes.Store(target + offsets[2], TLanes.Multiply(half, TLanes.Add(d2, d1)));
        TLanes.Store(target + offsets[3], TLanes.Multiply(half, TLanes.Subtract(d2, d1)));
    }
}
