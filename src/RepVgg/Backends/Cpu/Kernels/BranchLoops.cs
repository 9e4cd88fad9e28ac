using System.Numerics;
using System.Runtime.CompilerServices;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>The per-channel passes of a multi-branch block over arrays [rows, channels]. Each pass processes all branches of the block.</summary>
/// <remarks>
/// There is no identity branch if its row pointer is null. In the vector loops, lane i of a vector holds channel c + i; the
/// scalar loops compute the remaining channels by the same formula.
/// </remarks>
internal static unsafe class BranchLoops
{
    /// <summary>Number of rows that are processed for all channels before the next rows, so that they stay in the first-level cache.</summary>
    private const int RowBlock = 16;

    /// <summary>The rows of one branch and the per-channel values of its batch norm.</summary>
    public struct Branch
    {
        /// <summary>Output of the branch before its batch norm, [rows, channels]; null if there is no such branch.</summary>
        public float* Rows;

        public float* Mean;

        /// <summary>Forward: weight / sqrt(variance + epsilon). Backward: factor of the output gradient.</summary>
        public float* Factor;

        /// <summary>Forward: bias of the batch norm. Backward: constant term of the gradient.</summary>
        public float* Offset;

        /// <summary>Backward: factor of (row - mean).</summary>
        public float* RowFactor;

        /// <summary>Backward: destination of the gradient with respect to the rows of the branch.</summary>
        public float* Gradient;

        public void Advance(long floats)
        {
            Rows += floats;
            Gradient += floats;
        }
    }

    /// <summary>output = sum over branches of (row - mean) * factor + offset, followed by ReLU if <paramref name="relu"/> is true.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Combine(Branch first, Branch second, Branch identity, int rows, int channels, bool relu, float* output)
    {
        bool hasIdentity = identity.Rows is not null;
        float* third = hasIdentity ? identity.Rows : first.Rows;
        for (int r = 0; r < rows; r++)
        {
            int c = 0;
            for (; c <= channels - Vector<float>.Count; c += Vector<float>.Count)
            {
                var value = Vector.MultiplyAddEstimate(Vector.Load(first.Rows + c) - Vector.Load(first.Mean + c), Vector.Load(first.Factor + c), Vector.Load(first.Offset + c));
                value += Vector.MultiplyAddEstimate(Vector.Load(second.Rows + c) - Vector.Load(second.Mean + c), Vector.Load(second.Factor + c), Vector.Load(second.Offset + c));
                if (hasIdentity)
                    value += Vector.MultiplyAddEstimate(Vector.Load(third + c) - Vector.Load(identity.Mean + c), Vector.Load(identity.Factor + c), Vector.Load(identity.Offset + c));
                (relu ? Vector.Max(value, Vector<float>.Zero) : value).Store(output + c);
            }
            for (; c < channels; c++)
            {
                float value = (first.Rows[c] - first.Mean[c]) * first.Factor[c] + first.Offset[c];
                value += (second.Rows[c] - second.Mean[c]) * second.Factor[c] + second.Offset[c];
                if (hasIdentity)
                    value += (third[c] - identity.Mean[c]) * identity.Factor[c] + identity.Offset[c];
                output[c] = relu ? Math.Max(value, 0) : value;
            }
            first.Rows += channels;
            second.Rows += channels;
            third += channels;
            output += channels;
        }
    }

    /// <summary>
    /// Adds to sums, per channel: the sum of g, then for each branch the sum of g * (row - mean). g is the gradient; where
    /// <paramref name="output"/> is not null and not positive (ReLU), g is 0.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void GradientSums(Branch first, Branch second, Branch identity, float* gradient, float* output, int rows, int channels, float* sums)
    {
        for (int start = 0; start < rows; start += RowBlock)
        {
            int count = Math.Min(RowBlock, rows - start);
            long at = (long)start * channels;
            BlockSums(first, second, identity, gradient + at, output is null ? null : output + at, at, count, channels, sums);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void BlockSums(in Branch first, in Branch second, in Branch identity, float* gradient, float* output, long at, int rows, int channels, float* sums)
    {
        float* one = first.Rows + at;
        float* two = second.Rows + at;
        float* three = identity.Rows is null ? null : identity.Rows + at;
        float* mask = output is null ? gradient : output;
        int c = 0;
        for (; c <= channels - Vector<float>.Count; c += Vector<float>.Count)
        {
            var sum = Vector.Load(sums + c);
            var product1 = Vector.Load(sums + channels + c);
            var product2 = Vector.Load(sums + 2 * channels + c);
            var mean1 = Vector.Load(first.Mean + c);
            var mean2 = Vector.Load(second.Mean + c);
            nint offset = c;
            if (three is null)
            {
                for (int r = 0; r < rows; r++, offset += channels)
                {
                    var g = Masked(gradient, mask, offset, output is not null);
                    sum += g;
                    product1 = Vector.MultiplyAddEstimate(g, Vector.Load(one + offset) - mean1, product1);
                    product2 = Vector.MultiplyAddEstimate(g, Vector.Load(two + offset) - mean2, product2);
                }
            }
            else
            {
                var product3 = Vector.Load(sums + 3 * channels + c);
                var mean3 = Vector.Load(identity.Mean + c);
                for (int r = 0; r < rows; r++, offset += channels)
                {
                    var g = Masked(gradient, mask, offset, output is not null);
                    sum += g;
                    product1 = Vector.MultiplyAddEstimate(g, Vector.Load(one + offset) - mean1, product1);
                    product2 = Vector.MultiplyAddEstimate(g, Vector.Load(two + offset) - mean2, product2);
                    product3 = Vector.MultiplyAddEstimate(g, Vector.Load(three + offset) - mean3, product3);
                }
                product3.Store(sums + 3 * channels + c);
            }
            sum.Store(sums + c);
            product1.Store(sums + channels + c);
            product2.Store(sums + 2 * channels + c);
        }
        for (; c < channels; c++)
        {
            for (int r = 0; r < rows; r++)
            {
                long i = (long)r * channels + c;
                float g = output is null || mask[i] > 0 ? gradient[i] : 0;
                sums[c] += g;
                sums[channels + c] += g * (one[i] - first.Mean[c]);
                sums[2 * channels + c] += g * (two[i] - second.Mean[c]);
                if (three is not null)
                    sums[3 * channels + c] += g * (three[i] - identity.Mean[c]);
            }
        }
    }

    /// <summary>
    /// Writes each branch's gradient: factor * g + row factor * (row - mean) + offset, with g as in <see cref="GradientSums"/>;
    /// the gradient of the identity branch is added to the existing values if <paramref name="addToIdentity"/> is true. It is not
    /// computed if its gradient pointer is null.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Gradients(Branch first, Branch second, Branch identity, bool addToIdentity, float* gradient, float* output, int rows, int channels)
    {
        bool masked = output is not null;
        bool hasIdentity = identity.Rows is not null && identity.Gradient is not null;
        float* mask = masked ? output : gradient;
        for (int r = 0; r < rows; r++)
        {
            int c = 0;
            for (; c <= channels - Vector<float>.Count; c += Vector<float>.Count)
            {
                var g = Masked(gradient, mask, c, masked);
                RowGradient(first, g, c).Store(first.Gradient + c);
                RowGradient(second, g, c).Store(second.Gradient + c);
                if (hasIdentity)
                {
                    var value = RowGradient(identity, g, c);
                    (addToIdentity ? value + Vector.Load(identity.Gradient + c) : value).Store(identity.Gradient + c);
                }
            }
            for (; c < channels; c++)
            {
                float g = !masked || mask[c] > 0 ? gradient[c] : 0;
                first.Gradient[c] = ScalarRowGradient(first, g, c);
                second.Gradient[c] = ScalarRowGradient(second, g, c);
                if (hasIdentity)
                    identity.Gradient[c] = ScalarRowGradient(identity, g, c) + (addToIdentity ? identity.Gradient[c] : 0);
            }
            first.Advance(channels);
            second.Advance(channels);
            if (hasIdentity)
                identity.Advance(channels);
            gradient += channels;
            mask += channels;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> Masked(float* gradient, float* mask, nint at, bool masked)
    {
        var g = Vector.Load(gradient + at);
        return masked ? Vector.ConditionalSelect(Vector.GreaterThan(Vector.Load(mask + at), Vector<float>.Zero), g, Vector<float>.Zero) : g;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> RowGradient(in Branch branch, Vector<float> g, int c) => Vector.MultiplyAddEstimate(
        g, Vector.Load(branch.Factor + c),
        Vector.MultiplyAddEstimate(Vector.Load(branch.Rows + c) - Vector.Load(branch.Mean + c), Vector.Load(branch.RowFactor + c), Vector.Load(branch.Offset + c)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float ScalarRowGradient(in Branch branch, float g, int c) =>
        branch.Factor[c] * g + branch.RowFactor[c] * (branch.Rows[c] - branch.Mean[c]) + branch.Offset[c];
}
