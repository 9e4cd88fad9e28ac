using System.Numerics;
using System.Runtime.CompilerServices;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>Passes over arrays [rows, channels] with per-channel values or per-channel sums.</summary>
/// <remarks>
/// In the vector loops, lane i of a vector holds channel c + i; the scalar loops compute the remaining channels by the same
/// formula. In the formulas, (+)= adds to the destination if accumulate is true and overwrites it otherwise.
/// </remarks>
internal static unsafe class ChannelLoops
{
    /// <summary>x[r, c] += bias[c].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddBias(float* x, int rows, int channels, float* bias)
    {
        for (int r = 0; r < rows; r++, x += channels)
        {
            int c = 0;
            for (; c <= channels - Vector<float>.Count; c += Vector<float>.Count)
                (Vector.Load(x + c) + Vector.Load(bias + c)).Store(x + c);
            for (; c < channels; c++)
                x[c] += bias[c];
        }
    }

    /// <summary>sums[c] += sum over rows of x[r, c].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddSums(float* x, int rows, int channels, float* sums)
    {
        int c = 0;
        for (; c <= channels - Vector<float>.Count; c += Vector<float>.Count)
        {
            Vector<float> s0 = Vector<float>.Zero, s1 = Vector<float>.Zero, s2 = Vector<float>.Zero, s3 = Vector<float>.Zero;
            float* p = x + c;
            int r = 0;
            for (; r <= rows - 4; r += 4, p += 4 * (long)channels)
            {
                s0 += Vector.Load(p);
                s1 += Vector.Load(p + channels);
                s2 += Vector.Load(p + 2 * (long)channels);
                s3 += Vector.Load(p + 3 * (long)channels);
            }
            for (; r < rows; r++, p += channels)
                s0 += Vector.Load(p);
            (Vector.Load(sums + c) + (s0 + s1 + (s2 + s3))).Store(sums + c);
        }
        for (; c < channels; c++)
        {
            float s = 0;
            for (int r = 0; r < rows; r++)
                s += x[(long)r * channels + c];
            sums[c] += s;
        }
    }

    /// <summary>Mean and sum of squared deviations of each channel over the rows, in two passes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Moments(float* x, int rows, int channels, float* means, float* squares)
    {
        new Span<float>(means, channels).Clear();
        AddSums(x, rows, channels, means);
        float inverse = 1f / rows;
        for (int i = 0; i < channels; i++)
            means[i] *= inverse;
        int c = 0;
        for (; c <= channels - Vector<float>.Count; c += Vector<float>.Count)
        {
            Vector<float> s0 = Vector<float>.Zero, s1 = Vector<float>.Zero;
            var mean = Vector.Load(means + c);
            float* p = x + c;
            int r = 0;
            for (; r <= rows - 2; r += 2, p += 2 * (long)channels)
            {
                var d0 = Vector.Load(p) - mean;
                var d1 = Vector.Load(p + channels) - mean;
                s0 = Vector.MultiplyAddEstimate(d0, d0, s0);
                s1 = Vector.MultiplyAddEstimate(d1, d1, s1);
            }
            if (r < rows)
            {
                var d0 = Vector.Load(p) - mean;
                s0 = Vector.MultiplyAddEstimate(d0, d0, s0);
            }
            (s0 + s1).Store(squares + c);
        }
        for (; c < channels; c++)
        {
            float s = 0;
            for (int r = 0; r < rows; r++)
            {
                float d = x[(long)r * channels + c] - means[c];
                s += d * d;
            }
            squares[c] = s;
        }
    }

    /// <summary>y[r, c] = (x[r, c] - mean[c]) * scale[c] + shift[c].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Normalize(float* x, float* y, int rows, int channels, float* mean, float* scale, float* shift)
    {
        for (int r = 0; r < rows; r++, x += channels, y += channels)
        {
            int c = 0;
            for (; c <= channels - Vector<float>.Count; c += Vector<float>.Count)
                Vector.MultiplyAddEstimate(Vector.Load(x + c) - Vector.Load(mean + c), Vector.Load(scale + c), Vector.Load(shift + c)).Store(y + c);
            for (; c < channels; c++)
                y[c] = (x[c] - mean[c]) * scale[c] + shift[c];
        }
    }

    /// <summary>sums[c] = sum of g[r, c]; products[c] = sum of g[r, c] * (x[r, c] - mean[c]).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void GradientMoments(float* x, float* g, int rows, int channels, float* mean, float* sums, float* products)
    {
        int c = 0;
        for (; c <= channels - Vector<float>.Count; c += Vector<float>.Count)
        {
            Vector<float> s0 = Vector<float>.Zero, s1 = Vector<float>.Zero, p0 = Vector<float>.Zero, p1 = Vector<float>.Zero;
            var m = Vector.Load(mean + c);
            float* from = x + c;
            float* gradient = g + c;
            int r = 0;
            for (; r <= rows - 2; r += 2, from += 2 * (long)channels, gradient += 2 * (long)channels)
            {
                var g0 = Vector.Load(gradient);
                var g1 = Vector.Load(gradient + channels);
                s0 += g0;
                s1 += g1;
                p0 = Vector.MultiplyAddEstimate(g0, Vector.Load(from) - m, p0);
                p1 = Vector.MultiplyAddEstimate(g1, Vector.Load(from + channels) - m, p1);
            }
            if (r < rows)
            {
                var g0 = Vector.Load(gradient);
                s0 += g0;
                p0 = Vector.MultiplyAddEstimate(g0, Vector.Load(from) - m, p0);
            }
            (s0 + s1).Store(sums + c);
            (p0 + p1).Store(products + c);
        }
        for (; c < channels; c++)
        {
            float sum = 0, product = 0;
            for (int r = 0; r < rows; r++)
            {
                float gradient = g[(long)r * channels + c];
                sum += gradient;
                product += gradient * (x[(long)r * channels + c] - mean[c]);
            }
            sums[c] = sum;
            products[c] = product;
        }
    }

    /// <summary>d[r, c] (+)= a[c] * g[r, c] + b[c] * (x[r, c] - mean[c]) + k[c].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void NormalizeGradient(float* x, float* g, float* d, int rows, int channels, float* mean, float* a, float* b, float* k, bool accumulate)
    {
        for (int r = 0; r < rows; r++, x += channels, g += channels, d += channels)
        {
            int c = 0;
            for (; c <= channels - Vector<float>.Count; c += Vector<float>.Count)
            {
                var value = Vector.MultiplyAddEstimate(Vector.Load(x + c) - Vector.Load(mean + c), Vector.Load(b + c), Vector.Load(k + c));
                value = Vector.MultiplyAddEstimate(Vector.Load(g + c), Vector.Load(a + c), value);
                if (accumulate)
                    value += Vector.Load(d + c);
                value.Store(d + c);
            }
            for (; c < channels; c++)
            {
                float value = a[c] * g[c] + b[c] * (x[c] - mean[c]) + k[c];
                d[c] = accumulate ? d[c] + value : value;
            }
        }
    }

    /// <summary>y[r, c] (+)= x[r, c] * scale[c].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(float* x, float* y, int rows, int channels, float* scale, bool accumulate)
    {
        for (int r = 0; r < rows; r++, x += channels, y += channels)
        {
            int c = 0;
            for (; c <= channels - Vector<float>.Count; c += Vector<float>.Count)
            {
                var value = Vector.Load(x + c) * Vector.Load(scale + c);
                (accumulate ? value + Vector.Load(y + c) : value).Store(y + c);
            }
            for (; c < channels; c++)
                y[c] = x[c] * scale[c] + (accumulate ? y[c] : 0);
        }
    }

    /// <summary>sums[c] (+)= sum over rows of x[r, c] * y[r, c].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SumProducts(float* x, float* y, int rows, int channels, float* sums, bool accumulate)
    {
        int c = 0;
        for (; c <= channels - Vector<float>.Count; c += Vector<float>.Count)
        {
            var sum = Vector<float>.Zero;
            for (long r = 0; r < rows; r++)
                sum = Vector.MultiplyAddEstimate(Vector.Load(x + r * channels + c), Vector.Load(y + r * channels + c), sum);
            (accumulate ? Vector.Load(sums + c) + sum : sum).Store(sums + c);
        }
        for (; c < channels; c++)
        {
            float sum = accumulate ? sums[c] : 0;
            for (long r = 0; r < rows; r++)
                sum += x[r * channels + c] * y[r * channels + c];
            sums[c] = sum;
        }
    }

    /// <summary>y[r, c] (+)= values[c] * factor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Broadcast(float* values, float factor, float* y, int rows, int channels, bool accumulate)
    {
        for (int r = 0; r < rows; r++, y += channels)
        {
            for (int c = 0; c < channels; c++)
                y[c] = values[c] * factor + (accumulate ? y[c] : 0);
        }
    }
}
