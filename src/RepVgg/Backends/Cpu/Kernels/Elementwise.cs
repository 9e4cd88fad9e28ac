using System.Numerics;
using System.Runtime.CompilerServices;
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
        loop.Run((int)((count + Block - 1) / Block), (block, _) =>
            pass((long)block * Block, (int)Math.Min(Block, count - (long)block * Block)));

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

    /// <summary>One SGD update of consecutive weights, as torch.optim.SGD computes it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void SgdStep(float* weight, float* gradient, float* buffer, int count, float learningRate, float weightDecay, float momentum, bool nesterov, bool first)
    {
        int i = 0;
        for (; i <= count - Vector<float>.Count; i += Vector<float>.Count)
        {
            var w = Vector.Load(weight + i);
            var d = Vector.Load(gradient + i) + w * weightDecay;
            if (buffer is not null)
            {
                var b = first ? d : Vector.Load(buffer + i) * momentum + d;
                b.Store(buffer + i);
                d = nesterov ? d + b * momentum : b;
            }
            (w - d * learningRate).Store(weight + i);
        }
        for (; i < count; i++)
        {
            float d = gradient[i] + weight[i] * weightDecay;
            if (buffer is not null)
            {
                float b = first ? d : buffer[i] * momentum + d;
                buffer[i] = b;
                d = nesterov ? d + b * momentum : b;
            }
            weight[i] -= d * learningRate;
        }
    }
}
