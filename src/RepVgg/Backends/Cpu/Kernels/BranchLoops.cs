using System.Numerics;
using System.Runtime.CompilerServices;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>The per-channel passes of a multi-branch block over arrays [rows, channels].</summary>
/// <remarks>
/// A block has an array of convolutions, at least one, and an identity, which is absent if its row pointer is null. Each pass
/// processes the branches in groups of one or two convolutions; the identity is in the first group. In the vector loops, lane i
/// of a vector holds channel c + i; the scalar loops compute the remaining channels by the same formula.
/// </remarks>
internal static unsafe class BranchLoops
{
    /// <summary>Number of rows that are processed for all channels before the next rows, so that they stay in the first-level cache.</summary>
    private const int RowBlock = 16;

    /// <summary>Sums per channel of one group: that of the gradient, and the products of two convolutions and an identity.</summary>
    private const int GroupSums = 4;

    /// <summary>A pass over the rows of one group of branches.</summary>
    private interface IGroupPass
    {
        void Run<TSecond, TIdentity>(in Group group)
            where TSecond : struct, IPresence
            where TIdentity : struct, IPresence;
    }

    /// <summary>Whether a branch is present, as a type argument, so that each combination of branches is compiled to separate loops.</summary>
    private interface IPresence
    {
        static abstract bool IsPresent { get; }
    }

    /// <summary>Number of floats of the sums of <see cref="GradientSums"/>.</summary>
    public static int SumsLength(int convolutions, int channels) => (convolutions + 1) / 2 * GroupSums * channels;

    /// <summary>Index of a convolution's sums of products in the sums of <see cref="GradientSums"/>.</summary>
    public static int ProductsOfConvolution(int convolution, int channels) => (convolution / 2 * GroupSums + 1 + convolution % 2) * channels;

    /// <summary>Index of the identity's sums of products in the sums of <see cref="GradientSums"/>.</summary>
    public static int ProductsOfIdentity(int channels) => 3 * channels;

    /// <summary>output = sum over branches of (row - mean) * factor + offset, followed by ReLU if <paramref name="relu"/> is true.</summary>
    public static void Combine(ReadOnlySpan<Branch> convolutions, in Branch identity, int rows, int channels, bool relu, float* output) =>
        Run(convolutions, identity, new CombinePass(rows, channels, relu, output));

    /// <summary>
    /// Adds to sums, per channel: the sum of g, and for each branch the sum of g * (row - mean). g is the gradient; where
    /// <paramref name="output"/> is not null and not positive (ReLU), g is 0.
    /// </summary>
    public static void GradientSums(ReadOnlySpan<Branch> convolutions, in Branch identity, float* gradient, float* output, int rows, int channels, float* sums) =>
        Run(convolutions, identity, new GradientSumsPass(gradient, output, rows, channels, sums));

    /// <summary>
    /// Writes each branch's gradient: factor * g + row factor * (row - mean) + offset, with g as in <see cref="GradientSums"/>;
    /// the gradient of the identity is added to the existing values if <paramref name="addToIdentity"/> is true.
    /// </summary>
    public static void Gradients(ReadOnlySpan<Branch> convolutions, in Branch identity, bool addToIdentity, float* gradient, float* output, int rows, int channels) =>
        Run(convolutions, identity, new GradientsPass(addToIdentity, gradient, output, rows, channels));

    private static void Run<TPass>(ReadOnlySpan<Branch> convolutions, in Branch identity, TPass pass)
        where TPass : struct, IGroupPass
    {
        for (int i = 0; i < convolutions.Length; i += 2)
        {
            bool hasSecond = i + 1 < convolutions.Length, hasIdentity = i == 0 && identity.Rows is not null;
            var group = new Group { First = convolutions[i], Second = hasSecond ? convolutions[i + 1] : default, Identity = identity, Index = i / 2, IsLast = i + 2 >= convolutions.Length };
            if (hasSecond && hasIdentity)
                pass.Run<Present, Present>(group);
            else if (hasSecond)
                pass.Run<Present, Absent>(group);
            else if (hasIdentity)
                pass.Run<Absent, Present>(group);
            else
                pass.Run<Absent, Absent>(group);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> Normalized(in Branch branch, nint c) =>
        Vector.MultiplyAddEstimate(Vector.Load(branch.Rows + c) - Vector.Load(branch.Mean + c), Vector.Load(branch.Factor + c), Vector.Load(branch.Offset + c));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float ScalarNormalized(in Branch branch, nint c) => (branch.Rows[c] - branch.Mean[c]) * branch.Factor[c] + branch.Offset[c];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> Masked(float* gradient, float* mask, nint at, bool masked)
    {
        var g = Vector.Load(gradient + at);
        return masked ? Vector.ConditionalSelect(Vector.GreaterThan(Vector.Load(mask + at), Vector<float>.Zero), g, Vector<float>.Zero) : g;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> RowGradient(in Branch branch, Vector<float> g, nint c) => Vector.MultiplyAddEstimate(
        g, Vector.Load(branch.Factor + c),
        Vector.MultiplyAddEstimate(Vector.Load(branch.Rows + c) - Vector.Load(branch.Mean + c), Vector.Load(branch.RowFactor + c), Vector.Load(branch.Offset + c)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float ScalarRowGradient(in Branch branch, float g, nint c) =>
        branch.Factor[c] * g + branch.RowFactor[c] * (branch.Rows[c] - branch.Mean[c]) + branch.Offset[c];

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

    /// <summary>The branches that one pass processes together.</summary>
    private struct Group
    {
        public Branch First, Second, Identity;

        public int Index;

        public bool IsLast;
    }

    private readonly struct Present : IPresence
    {
        public static bool IsPresent => true;
    }

    private readonly struct Absent : IPresence
    {
        public static bool IsPresent => false;
    }

    private readonly struct CombinePass(int rows, int channels, bool relu, float* output) : IGroupPass
    {
        public void Run<TSecond, TIdentity>(in Group group)
            where TSecond : struct, IPresence
            where TIdentity : struct, IPresence =>
            Combine<TSecond, TIdentity>(group.First, group.Second, group.Identity, rows, channels, accumulate: group.Index > 0, relu && group.IsLast, output);

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Combine<TSecond, TIdentity>(Branch first, Branch second, Branch identity, int rows, int channels, bool accumulate, bool relu, float* output)
            where TSecond : struct, IPresence
            where TIdentity : struct, IPresence
        {
            for (int r = 0; r < rows; r++)
            {
                int c = 0;
                for (; c <= channels - Vector<float>.Count; c += Vector<float>.Count)
                {
                    var value = Normalized(first, c);
                    if (TSecond.IsPresent)
                        value += Normalized(second, c);
                    if (TIdentity.IsPresent)
                        value += Normalized(identity, c);
                    if (accumulate)
                        value += Vector.Load(output + c);
                    (relu ? Vector.Max(value, Vector<float>.Zero) : value).Store(output + c);
                }
                for (; c < channels; c++)
                {
                    float value = ScalarNormalized(first, c);
                    if (TSecond.IsPresent)
                        value += ScalarNormalized(second, c);
                    if (TIdentity.IsPresent)
                        value += ScalarNormalized(identity, c);
                    if (accumulate)
                        value += output[c];
                    output[c] = relu ? Math.Max(value, 0) : value;
                }
                first.Rows += channels;
                if (TSecond.IsPresent)
                    second.Rows += channels;
                if (TIdentity.IsPresent)
                    identity.Rows += channels;
                output += channels;
            }
        }
    }

    private readonly struct GradientSumsPass(float* gradient, float* output, int rows, int channels, float* sums) : IGroupPass
    {
        public void Run<TSecond, TIdentity>(in Group group)
            where TSecond : struct, IPresence
            where TIdentity : struct, IPresence
        {
            float* groupSums = sums + (long)group.Index * GroupSums * channels;
            for (int start = 0; start < rows; start += RowBlock)
            {
                long at = (long)start * channels;
                AddBlock<TSecond, TIdentity>(group.First, group.Second, group.Identity, at, gradient + at, output is null ? null : output + at, Math.Min(RowBlock, rows - start), channels, groupSums);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void AddBlock<TSecond, TIdentity>(in Branch first, in Branch second, in Branch identity, long at, float* gradient, float* output, int rows, int channels, float* sums)
            where TSecond : struct, IPresence
            where TIdentity : struct, IPresence
        {
            float* one = first.Rows + at;
            float* two = TSecond.IsPresent ? second.Rows + at : null;
            float* three = TIdentity.IsPresent ? identity.Rows + at : null;
            bool masked = output is not null;
            float* mask = masked ? output : gradient;
            int c = 0;
            for (; c <= channels - Vector<float>.Count; c += Vector<float>.Count)
            {
                var sum = Vector.Load(sums + c);
                var product1 = Vector.Load(sums + channels + c);
                var product2 = TSecond.IsPresent ? Vector.Load(sums + 2 * channels + c) : default;
                var product3 = TIdentity.IsPresent ? Vector.Load(sums + 3 * channels + c) : default;
                var mean1 = Vector.Load(first.Mean + c);
                var mean2 = TSecond.IsPresent ? Vector.Load(second.Mean + c) : default;
                var mean3 = TIdentity.IsPresent ? Vector.Load(identity.Mean + c) : default;
                nint offset = c;
                for (int r = 0; r < rows; r++, offset += channels)
                {
                    var g = Masked(gradient, mask, offset, masked);
                    sum += g;
                    product1 = Vector.MultiplyAddEstimate(g, Vector.Load(one + offset) - mean1, product1);
                    if (TSecond.IsPresent)
                        product2 = Vector.MultiplyAddEstimate(g, Vector.Load(two + offset) - mean2, product2);
                    if (TIdentity.IsPresent)
                        product3 = Vector.MultiplyAddEstimate(g, Vector.Load(three + offset) - mean3, product3);
                }
                sum.Store(sums + c);
                product1.Store(sums + channels + c);
                if (TSecond.IsPresent)
                    product2.Store(sums + 2 * channels + c);
                if (TIdentity.IsPresent)
                    product3.Store(sums + 3 * channels + c);
            }
            for (; c < channels; c++)
            {
                for (int r = 0; r < rows; r++)
                {
                    long i = (long)r * channels + c;
                    float g = !masked || mask[i] > 0 ? gradient[i] : 0;
                    sums[c] += g;
                    sums[channels + c] += g * (one[i] - first.Mean[c]);
                    if (TSecond.IsPresent)
                        sums[2 * channels + c] += g * (two[i] - second.Mean[c]);
                    if (TIdentity.IsPresent)
                        sums[3 * channels + c] += g * (three[i] - identity.Mean[c]);
                }
            }
        }
    }

    private readonly struct GradientsPass(bool addToIdentity, float* gradient, float* output, int rows, int channels) : IGroupPass
    {
        public void Run<TSecond, TIdentity>(in Group group)
            where TSecond : struct, IPresence
            where TIdentity : struct, IPresence =>
            Write<TSecond, TIdentity>(group.First, group.Second, group.Identity, addToIdentity, gradient, output, rows, channels);

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Write<TSecond, TIdentity>(Branch first, Branch second, Branch identity, bool addToIdentity, float* gradient, float* output, int rows, int channels)
            where TSecond : struct, IPresence
            where TIdentity : struct, IPresence
        {
            bool masked = output is not null;
            float* mask = masked ? output : gradient;
            for (int r = 0; r < rows; r++)
            {
                int c = 0;
                for (; c <= channels - Vector<float>.Count; c += Vector<float>.Count)
                {
                    var g = Masked(gradient, mask, c, masked);
                    RowGradient(first, g, c).Store(first.Gradient + c);
                    if (TSecond.IsPresent)
                        RowGradient(second, g, c).Store(second.Gradient + c);
                    if (TIdentity.IsPresent)
                    {
                        var value = RowGradient(identity, g, c);
                        (addToIdentity ? value + Vector.Load(identity.Gradient + c) : value).Store(identity.Gradient + c);
                    }
                }
                for (; c < channels; c++)
                {
                    float g = !masked || mask[c] > 0 ? gradient[c] : 0;
                    first.Gradient[c] = ScalarRowGradient(first, g, c);
                    if (TSecond.IsPresent)
                        second.Gradient[c] = ScalarRowGradient(second, g, c);
                    if (TIdentity.IsPresent)
                        identity.Gradient[c] = ScalarRowGradient(identity, g, c) + (addToIdentity ? identity.Gradient[c] : 0);
                }
                first.Advance(channels);
                if (TSecond.IsPresent)
                    second.Advance(channels);
                if (TIdentity.IsPresent)
                    identity.Advance(channels);
                gradient += channels;
                mask += channels;
            }
        }
    }
}
