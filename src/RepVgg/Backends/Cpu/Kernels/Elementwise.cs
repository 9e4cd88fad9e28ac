using System.Numerics;
using System.Runtime.CompilerServices;
using RepVgg.Optimizers;
using RepVgg.Runtime.Threading;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>Element-wise passes over contiguous arrays of floats.</summary>
/// <remarks>
/// In the vector loops, lane k of a vector holds element i + k; the scalar loops compute the remaining elements by the same
/// formula. In the formulas, (+)= adds to the destination if accumulate is true and overwrites it otherwise.
/// </remarks>
internal static unsafe class Elementwise
{
    /// <summary>Number of floats of one item of parallel work.</summary>
    public const int Block = 1 << 14;

    /// <summary>Runs a pass in blocks of <see cref="Block"/> floats, in parallel. The pass receives the first index and the number of floats.</summary>
    public static void Run(ParallelLoop loop, long count, Action<long, int> pass) =>
        loop.Run(Blocks(count), (block, _) =>
            pass((long)block * Block, (int)Math.Min(Block, count - (long)block * Block)));

    /// <summary>Gets the number of blocks of a pass over <paramref name="count"/> floats.</summary>
    public static int Blocks(long count) => (int)((count + Block - 1) / Block);

    /// <summary>y = a + b.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Add(float* a, float* b, float* y, int count)
    {
        int i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
            (Vector.Load(a + i) + Vector.Load(b + i)).Store(y + i);
        for (; i < count; i++)
            y[i] = a[i] + b[i];
    }

    /// <summary>y (+)= x * factor.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scale(float* x, float factor, float* y, int count, bool accumulate)
    {
        int i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            var value = Vector.Load(x + i) * factor;
            (accumulate ? value + Vector.Load(y + i) : value).Store(y + i);
        }
        for (; i < count; i++)
            y[i] = x[i] * factor + (accumulate ? y[i] : 0);
    }

    /// <summary>y = max(x, 0); NaN remains NaN, so that divergence is detected from the loss.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Relu(float* x, float* y, int count)
    {
        int i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
            Vector.Max(Vector.Load(x + i), Vector<float>.Zero).Store(y + i);
        for (; i < count; i++)
            y[i] = Math.Max(x[i], 0);
    }

    /// <summary>d (+)= y > 0 ? g : 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ReluGradient(float* y, float* g, float* d, int count, bool accumulate)
    {
        int i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            var value = Vector.ConditionalSelect(Vector.GreaterThan(Vector.Load(y + i), Vector<float>.Zero), Vector.Load(g + i), Vector<float>.Zero);
            (accumulate ? value + Vector.Load(d + i) : value).Store(d + i);
        }
        for (; i < count; i++)
            d[i] = (y[i] > 0 ? g[i] : 0) + (accumulate ? d[i] : 0);
    }

    /// <summary>y = 1 / (1 + exp(-x)).</summary>
    public static void Sigmoid(float* x, float* y, int count)
    {
        for (int i = 0; i < count; i++)
            y[i] = 1f / (1f + MathF.Exp(-x[i]));
    }

    /// <summary>d (+)= g * y * (1 - y).</summary>
    public static void SigmoidGradient(float* y, float* g, float* d, int count, bool accumulate)
    {
        for (int i = 0; i < count; i++)
            d[i] = g[i] * y[i] * (1 - y[i]) + (accumulate ? d[i] : 0);
    }

    /// <summary>Widens bounds to consecutive values.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static (float Minimum, float Maximum) Bounds(float* x, int count, float minimum, float maximum)
    {
        var (low, high) = (new Vector<float>(minimum), new Vector<float>(maximum));
        int i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
            (low, high) = (Vector.Min(low, Vector.Load(x + i)), Vector.Max(high, Vector.Load(x + i)));
        for (int lane = 0; lane < Vector<float>.Count; lane++)
            (minimum, maximum) = (Math.Min(minimum, low[lane]), Math.Max(maximum, high[lane]));
        for (; i < count; i++)
            (minimum, maximum) = (Math.Min(minimum, x[i]), Math.Max(maximum, x[i]));
        return (minimum, maximum);
    }

    /// <summary>y = scale * (clip(round(x / scale) + zero, 0, 255) - zero).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void FakeQuantize(float* x, float* y, int count, float scale, float zero)
    {
        int i = 0;
        // Without the zero point, which is subtracted again: it is an integer, so that the sums are exact.
        float lowest = -zero, highest = byte.MaxValue - zero;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            var level = Vector.Round(Vector.Load(x + i) / scale);
            (Vector.Min(Vector.Max(level, new Vector<float>(lowest)), new Vector<float>(highest)) * scale).Store(y + i);
        }
        for (; i < count; i++)
            y[i] = Math.Min(Math.Max(MathF.Round(x[i] / scale), lowest), highest) * scale;
    }

    /// <summary>d (+)= g where round(x / scale) + zero is from 0 to 255, and 0 elsewhere.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void FakeQuantizeGradient(float* x, float* g, float* d, int count, float scale, float zero, bool accumulate)
    {
        int i = 0;
        float lowest = -zero, highest = byte.MaxValue - zero;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            var level = Vector.Round(Vector.Load(x + i) / scale);
            var isInside = Vector.GreaterThanOrEqual(level, new Vector<float>(lowest)) & Vector.LessThanOrEqual(level, new Vector<float>(highest));
            var value = Vector.ConditionalSelect(isInside, Vector.Load(g + i), Vector<float>.Zero);
            (accumulate ? value + Vector.Load(d + i) : value).Store(d + i);
        }
        for (; i < count; i++)
        {
            float level = MathF.Round(x[i] / scale);
            d[i] = (level >= lowest && level <= highest ? g[i] : 0) + (accumulate ? d[i] : 0);
        }
    }

    /// <summary>Computes the sum of the squares of x in double precision.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static double SquareSum(float* x, int count)
    {
        Vector<double> lower = Vector<double>.Zero, upper = Vector<double>.Zero;
        int i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            Vector.Widen(Vector.Load(x + i), out var first, out var second);
            lower += first * first;
            upper += second * second;
        }
        double sum = Vector.Sum(lower + upper);
        for (; i < count; i++)
            sum += (double)x[i] * x[i];
        return sum;
    }

    /// <summary>One SGD update of consecutive weights, as torch.optim.SGD computes it from the gradient times <paramref name="gradientFactor"/> and, if they are not null, the multipliers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SgdStep(
        float* weight, float* gradient, float* multiplier, float* buffer, int count,
        float gradientFactor, float learningRate, float weightDecay, float momentum, bool nesterov)
    {
        int i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            var w = Vector.Load(weight + i);
            var g = Vector.Load(gradient + i) * gradientFactor;
            var d = (multiplier is null ? g : g * Vector.Load(multiplier + i)) + w * weightDecay;
            if (buffer is not null)
            {
                var b = Vector.Load(buffer + i) * momentum + d;
                b.Store(buffer + i);
                d = nesterov ? d + b * momentum : b;
            }
            (w - d * learningRate).Store(weight + i);
        }
        for (; i < count; i++)
        {
            float g = gradient[i] * gradientFactor;
            float d = (multiplier is null ? g : g * multiplier[i]) + weight[i] * weightDecay;
            if (buffer is not null)
            {
                float b = buffer[i] * momentum + d;
                buffer[i] = b;
                d = nesterov ? d + b * momentum : b;
            }
            weight[i] -= d * learningRate;
        }
    }

    /// <summary>
    /// One AdamW update of consecutive weights, as torch.optim.AdamW computes it from the gradient times <paramref name="gradientFactor"/>.
    /// Multipliers that are not null multiply the gradient, and the average of the gradients where it updates the weights.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AdamWStep(float* weight, float* gradient, float* multiplier, float* average, float* square, int count, float gradientFactor, in AdamWFactors factors)
    {
        var (weightFactor, beta1, averageFactor, beta2, squareFactor, rate, rootDivisor, epsilon) = factors;
        var epsilons = new Vector<float>(epsilon);
        int i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            var g = Vector.Load(gradient + i) * gradientFactor;
            if (multiplier is not null)
                g *= Vector.Load(multiplier + i);
            var m = Vector.Load(average + i) * beta1 + g * averageFactor;
            var v = Vector.Load(square + i) * beta2 + g * g * squareFactor;
            m.Store(average + i);
            v.Store(square + i);
            if (multiplier is not null)
                m *= Vector.Load(multiplier + i);
            (Vector.Load(weight + i) * weightFactor - m / (Vector.SquareRoot(v) / rootDivisor + epsilons) * rate).Store(weight + i);
        }
        for (; i < count; i++)
        {
            float g = gradient[i] * gradientFactor;
            if (multiplier is not null)
                g *= multiplier[i];
            float m = average[i] * beta1 + g * averageFactor, v = square[i] * beta2 + g * g * squareFactor;
            average[i] = m;
            square[i] = v;
            if (multiplier is not null)
                m *= multiplier[i];
            weight[i] = weight[i] * weightFactor - m / (MathF.Sqrt(v) / rootDivisor + epsilon) * rate;
        }
    }
}
