using RepVgg.Backends;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Testing;

/// <content>Channel scales, normalised filters, equivalent kernels as kernels, and blocks with a batch norm of the sum.</content>
public abstract partial class BackendTests
{
    /// <summary>Branches of every kind with channel scales of either sign: 3x3 with batch norm, 1x3, 3x1 with normalised filters and batch norm, 1x1 with normalised filters, identity with batch norm.</summary>
    [BackendTheory]
    [InlineData(6, 6)]
    [InlineData(6, 3)]
    [InlineData(33, 33)]
    public void The_equivalent_kernel_and_bias_have_channel_scales_and_normalized_filters(int o, int i)
    {
        Check(51, 11).Compare(
            v => ReferenceBranch.EquivalentKernel(Reference(v), o, i),
            t => Backend.EquivalentKernel(Tested(t)));
        Check(52, 11).Compare(
            v => ReferenceBranch.EquivalentBias(Reference(v), o),
            t => Backend.EquivalentBias(Tested(t)));

        OperationCheck Check(int seed, int vectors)
        {
            var check = new OperationCheck(Backend, seed).Parameter(o, i, 3, 3).Parameter(o, i, 1, 3).Parameter(o, i, 3, 1).Parameter(o, i, 1, 1);
            for (int n = 0; n < vectors; n++)
                check.Parameter(o);
            return check;
        }

        // Operands: four kernels, five channel scales, weight and bias of three batch norms.
        ReferenceBranch[] Reference(double[][] v) =>
        [
            new(v[0], 3, 3) { ChannelScale = v[4], Norm = ReferenceNorm(v, 0) },
            new(v[1], 1, 3) { ChannelScale = v[5] },
            new(v[2], 3, 1) { ChannelScale = v[6], Norm = ReferenceNorm(v, 1), NormalizesFilters = true },
            new(v[3]) { ChannelScale = v[7], NormalizesFilters = true },
            new((double[]?)null) { ChannelScale = v[8], Norm = ReferenceNorm(v, 2) },
        ];

        Branch[] Tested(Tensor[] t) =>
        [
            new(t[0], TestedNorm(t, 0)) { ChannelScale = t[4] },
            new(t[1]) { ChannelScale = t[5] },
            new(t[2], TestedNorm(t, 1)) { ChannelScale = t[6], NormalizesFilters = true },
            new(t[3]) { ChannelScale = t[7], NormalizesFilters = true },
            new(null, TestedNorm(t, 2)) { ChannelScale = t[8] },
        ];

        (double[], double[], double[], double[], double) ReferenceNorm(double[][] v, int index)
        {
            var (mean, variance) = Statistics(o, index);
            return (v[9 + 2 * index], v[10 + 2 * index], mean, variance, Epsilon);
        }

        BatchNormState TestedNorm(Tensor[] t, int index)
        {
            var (mean, variance) = Statistics(o, index);
            return NewState(t[9 + 2 * index], t[10 + 2 * index], o, mean, variance) with { Epsilon = (float)Epsilon };
        }
    }

    /// <summary>As PyTorch's normalize: below a norm of 1e-12, filters are divided by this constant, which has no derivative.</summary>
    [BackendFact]
    public void Tiny_filters_are_divided_by_a_constant()
    {
        const int Outputs = 3, Filter = 2 * 9;
        var draw = new Random(53);
        float[] values = Random(draw, Outputs * Filter), scales = [-0.5f, 3, 2], direction = Random(draw, Outputs * Filter);
        for (int i = 0; i < Filter; i++)
            (values[i], values[Filter + i]) = (values[i] * 1e-14f, 0);
        using var kernel = Backend.CreateParameter(new TensorData([Outputs, 2, 3, 3], values));
        using var scale = Backend.CreateParameter(new TensorData([Outputs], scales));
        using (Backend.BeginStep(training: true))
        {
            var normalized = Backend.EquivalentKernel([new Branch(kernel) { ChannelScale = scale, NormalizesFilters = true }]);
            Backend.BackwardFrom(normalized, direction);
            float[] actual = Read(normalized), gradient = Gradient(kernel), byScale = Gradient(scale);
            Compare.Close([.. values[..Filter].Select(value => value * -0.5f / 1e-12f)], actual.AsSpan(0, Filter), 1e-6);
            Compare.Close([.. direction[..Filter].Select(value => value * -0.5f / 1e-12f)], gradient.AsSpan(0, Filter), 1e-6);
            Assert.Equal(new float[Filter], actual[Filter..(2 * Filter)]);
            Compare.Close([.. direction[Filter..(2 * Filter)].Select(value => value * 3 / 1e-12f)], gradient.AsSpan(Filter, Filter), 1e-6);
            Assert.Equal(0, byScale[1]);
            Assert.Equal(2, Math.Sqrt(actual[(2 * Filter)..].Sum(value => (double)value * value)), 1e-6);
        }
    }

    /// <summary>Direct convolutions with patches, groups and strides, and Winograd's algorithm.</summary>
    [BackendTheory]
    [InlineData(6, 6, 1, 1)]
    [InlineData(8, 6, 1, 2)]
    [InlineData(12, 12, 2, 4)]
    [InlineData(10, 10, 1, 10)]
    [InlineData(32, 48, 1, 1)]
    [InlineData(9, 20, 2, 1)]
    public void An_equivalent_kernel_is_the_kernel_of_convolutions_and_branches(int c, int o, int stride, int groups)
    {
        const int N = 3, Size = 9;
        int i = c / groups;
        OperationCheck Check(int seed) => new OperationCheck(Backend, seed).Input(N, c, Size, Size).Parameter(o, i, 3, 3).Parameter(o, i, 1, 1).Parameter(o);
        Check(54).Compare(
            v => Convolve(v, 1, 1),
            t => Backend.Conv2d(t[0], Kernel(t), null, stride, 1, groups));

        // Twice in one step, once within another equivalent kernel; the gradients add up.
        Check(55).Compare(
            v => ReferenceOperations.Add(Convolve(v, 1, 1), Convolve(v, 2, 3)),
            t =>
            {
                var kernel = Kernel(t);
                return Backend.Add(
                    Backend.MultiBranchConv(t[0], [new Branch(kernel)], new(stride, groups), relu: false),
                    Backend.MultiBranchConv(t[0], [new Branch(kernel), new Branch(t[2]), new Branch(kernel)], new(stride, groups), relu: false));
            });

        Tensor Kernel(Tensor[] t) => Backend.EquivalentKernel([new Branch(t[1]) { NormalizesFilters = true, ChannelScale = t[3] }, new Branch(t[2])]);

        // Sums a number of each branch; every merged kernel contains both.
        double[] Convolve(double[][] v, int large, int small)
        {
            ReferenceBranch[] branches =
            [
                .. Enumerable.Repeat(new ReferenceBranch(v[1], 3, 3) { NormalizesFilters = true, ChannelScale = v[3] }, large),
                .. Enumerable.Repeat(new ReferenceBranch(v[2]), small),
            ];
            return ReferenceOperations.Convolution(v[0], N, c, Size, Size, ReferenceBranch.EquivalentKernel(branches, o, i), o, 3, 3, null, stride, 1, groups);
        }
    }

    [BackendTheory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_block_of_normalized_filters_has_a_batch_norm_of_the_sum(bool training)
    {
        const int N = 4, C = 7, Size = 6;
        var (mean, variance) = Statistics(C, 1);
        new OperationCheck(Backend, 56) { Training = training }.Input(N, C, Size, Size).Parameter(C, C, 3, 3).Parameter(C).Parameter(C).Parameter(C).Parameter(C).Compare(
            v =>
            {
                ReferenceBranch[] branches = [new((double[]?)null) { ChannelScale = v[2] }, new(v[1], 3, 3) { ChannelScale = v[3], NormalizesFilters = true }];
                double[] sum = ReferenceOperations.Convolution(v[0], N, C, Size, Size, ReferenceBranch.EquivalentKernel(branches, C, C), C, 3, 3, null, 1, 1, 1);
                return training
                    ? ReferenceOperations.BatchNorm(sum, N, C, Size * Size, v[4], v[5], Epsilon)
                    : ReferenceOperations.Normalize(sum, C, Size * Size, mean, variance, v[4], v[5], Epsilon);
            },
            t => Backend.MultiBranchConv(t[0], [new Branch(null) { ChannelScale = t[2] }, new Branch(t[1]) { ChannelScale = t[3], NormalizesFilters = true }], new(1, 1), relu: false,
                NewState(t[4], t[5], C, mean, variance) with { Epsilon = (float)Epsilon }));
    }

    public static TheoryData<string, int, int, int, int, bool, bool> BlocksWithNorm
    {
        get
        {
            var data = new TheoryData<string, int, int, int, int, bool, bool>();
            foreach (bool training in (bool[])[true, false])
            {
                foreach (string branches in (string[])["3", "1", "3 1", "3n 1", "3n 1n"])
                {
                    data.Add(branches, 12, 20, 2, 1, training, true);
                    data.Add(branches, 12, 12, 1, 4, training, false);
                }
                foreach (string branches in (string[])["0", "3 1 0", "3 1 0n", "3 0", "0 0 3", "3n 1 0", "3n 1n 0n"])
                {
                    data.Add(branches, 12, 12, 1, 1, training, true);
                    data.Add(branches, 32, 32, 1, 1, training, true);
                    data.Add(branches, 12, 12, 1, 4, training, false);
                }
            }
            return data;
        }
    }

    /// <summary>The sum of branches and a batch norm after it, as one operation and by primitives.</summary>
    /// <param name="branches">Sizes of the kernels, 0 for the identity; n: with a batch norm.</param>
    [BackendTheory]
    [MemberData(nameof(BlocksWithNorm))]
    public void A_block_with_a_batch_norm_of_the_sum_equals_its_primitives(string branches, int c, int o, int stride, int groups, bool training, bool relu)
    {
        const int N = 5, Size = 7;
        float[] input = Random(new Random(57), N, c, Size, Size);
        var results = new List<float[]>[2];
        for (int side = 0; side < 2; side++)
        {
            var draw = new Random(58);
            var kernels = new List<Tensor>();
            var norms = new List<BatchNormState>();
            Branch[] block = [.. branches.Split(' ').Select(text => new Branch(
                text[0] == '0' ? null : New(draw, kernels, o, c / groups, text[0] - '0', text[0] - '0'),
                text.EndsWith('n') ? Norm() : null))];
            var last = Norm();
            using (Backend.BeginStep(training, record: true))
            {
                var x = Backend.CreateInput([N, c, Size, Size], input, requiresGradient: true);
                var y = side == 0 ? Backend.MultiBranchConv(x, block, new(stride, groups), relu, last) : Primitives(x, block, last);
                Backend.BackwardFrom(y, Random(new Random(59), [.. y.Shape]));
                // The gradient by the bias of an inner batch norm is 0 in training but for rounding; it is compared at the scale of the weight's.
                results[side] = [Read(y), Gradient(x), .. kernels.Select(Gradient), .. norms.Select(norm => (float[])[.. Gradient(norm.Weight), .. Gradient(norm.Bias)])];
            }
            results[side].AddRange(norms.SelectMany(norm => (float[][])[Read(norm.RunningMean), Read(norm.RunningVariance)]));

            BatchNormState Norm()
            {
                var (mean, variance) = Statistics(o, norms.Count);
                norms.Add(NewState(New(draw, [], o), New(draw, [], o), o, mean, variance));
                return norms[^1];
            }
        }
        for (int i = 0; i < results[0].Count; i++)
            Compare.Close(results[1][i], results[0][i], 2e-5, $"result {i}");

        Tensor Primitives(Tensor x, Branch[] block, BatchNormState last)
        {
            var sum = block.Select(branch =>
            {
                var part = branch.Kernel is null ? x : Backend.Conv2d(x, branch.Kernel, null, stride, branch.KernelHeight / 2, groups);
                return branch.Norm is null ? part : Backend.BatchNorm(part, branch.Norm);
            }).Aggregate(Backend.Add);
            var normalized = Backend.BatchNorm(sum, last);
            return relu ? Backend.Relu(normalized) : normalized;
        }
    }

    [BackendFact]
    public void Kernels_and_branches_that_cannot_be_merged_are_refused()
    {
        using var kernel = Backend.CreateParameter(TensorData.Zeros(2, 2, 3, 3));
        using Tensor scale = Parameter(2), wide = Parameter(3);
        var norm = NewState(Parameter(2), Parameter(2), 2);
        using (Backend.BeginStep(training: true))
        {
            var x = Input(new double[2 * 2 * 25], 2, 2, 5, 5);
            var small = Input(new double[2 * 2 * 9], 2, 2, 3, 3);
            Refused("an equivalent kernel of shape OIHW, not an input", () => Backend.Conv2d(x, small, null, 1, 1, 1));
            Refused("an equivalent kernel of shape OIHW, not an input", () => Backend.MultiBranchConv(x, [new Branch(small)], new(1, 1), relu: false));

            var equivalent = Backend.EquivalentKernel([new Branch(kernel)]);
            Refused("only be used as the kernel", () => Backend.Add(small, equivalent));
            Refused("only be used as the kernel", () => Backend.Conv2d(equivalent, kernel, null, 1, 1, 1));
            Refused("overwritten", () => Backend.CopyIn(equivalent, new float[2 * 2 * 9]));

            Branch scaled = new(kernel) { ChannelScale = scale }, normalized = new(kernel) { NormalizesFilters = true };
            foreach (var branch in (Branch[])[scaled, normalized])
            {
                Refused("not defined", () => Backend.BranchPenalty([branch]));
                Refused("batch norm of the sum", () => Backend.MultiBranchConv(x, [branch, new Branch(null, norm)], new(1, 1), relu: false));
                Refused("batch norm of the sum", () => Backend.MultiBranchConv(x, [branch with { Norm = norm }], new(1, 1), relu: false));
            }
            Refused("batch norm of the sum", () => Backend.MultiBranchConv(x, [new Branch(null) { ChannelScale = scale }], new(1, 1), relu: false, norm));
            Refused("no filters", () => Backend.EquivalentKernel([new Branch(kernel), new Branch(null) { NormalizesFilters = true }]));
            foreach (var branch in (Branch[])[new(kernel) { ChannelScale = wide }, new(kernel) { ChannelScale = kernel }])
            {
                Refused("channel scale", () => Backend.EquivalentKernel([branch]));
                Refused("channel scale", () => Backend.EquivalentBias([branch]));
                Refused("channel scale", () => Backend.MultiBranchConv(x, [branch], new(1, 1), relu: false));
            }
            Refused("2 outputs", () => Backend.MultiBranchConv(x, [new Branch(kernel)], new(1, 1), relu: false, NewState(wide, wide, 3)));
            var pixel = Input([1, 2], 1, 2, 1, 1);
            Assert.Throws<InvalidOperationException>(() => Backend.MultiBranchConv(pixel, [new Branch(kernel)], new(1, 1), relu: false, norm));
        }

        static void Refused(string message, Action action) => Assert.Contains(message, Assert.Throws<ArgumentException>(action).Message);
    }

    [BackendTheory]
    [InlineData(1, 1, 3, 3, 1, 0)]
    [InlineData(2, 5, 7, 9, 1, 1)]
    [InlineData(2, 5, 8, 7, 2, 0)]
    [InlineData(3, 19, 9, 8, 2, 1)]
    [InlineData(2, 33, 1, 2, 1, 1)]
    [InlineData(2, 4, 11, 12, 4, 0)]
    [InlineData(1, 8, 13, 10, 5, 1)]
    public void Average_pooling_of_3x3_windows_counts_the_padding(int n, int c, int h, int w, int stride, int padding)
    {
        double[] ninths = [.. Enumerable.Repeat(1 / 9.0, c * 9)];
        double[] Pool(double[] x) => ReferenceOperations.Convolution(x, n, c, h, w, ninths, c, 3, 3, null, stride, padding, c);
        new OperationCheck(Backend, 60).Input(n, c, h, w).Compare(v => Pool(v[0]), t => Backend.AveragePool3x3(t[0], stride, padding));
        new OperationCheck(Backend, 61).Input(n, c, h, w).Compare(
            v => [.. Pool(v[0]).Select(value => 3 * value)],
            t => Backend.Add(Backend.AveragePool3x3(t[0], stride, padding), Backend.Scale(Backend.AveragePool3x3(t[0], stride, padding), 2)));
    }

    [BackendTheory]
    [InlineData(1, 1, 1, 1)]
    [InlineData(3, 5, 4, 6)]
    [InlineData(2, 33, 7, 5)]
    public void A_border_has_the_values_of_a_batch_norm_of_0(int n, int c, int h, int w)
    {
        var (mean, variance) = Statistics(c, 2);
        double[] weight = [.. Enumerable.Range(0, c).Select(i => 0.5 - 0.25 * i)], bias = [.. Enumerable.Range(0, c).Select(i => 0.125 * i + 1)];
        double[] Padded(double[] map) => WithBorder(map, n, c, h, w, i => bias[i] - mean[i] * weight[i] / Math.Sqrt(variance[i] + Epsilon));
        BatchNormState State() => NewState(
            Backend.CreateParameter(new TensorData([c], [.. weight.Select(value => (float)value)])), Backend.CreateParameter(new TensorData([c], [.. bias.Select(value => (float)value)])),
            c, mean, variance) with { Epsilon = (float)Epsilon };
        foreach (bool training in (bool[])[true, false])
        {
            var state = State();
            new OperationCheck(Backend, 62) { Training = training }.Input(n, c, h, w).Compare(v => Padded(v[0]), t => Backend.PadWithNorm(t[0], state));
            Assert.Equal(new float[c], Gradient(state.Weight));
            Assert.Equal(new float[c], Gradient(state.Bias));
            Assert.Equal(mean.Select(value => (float)value), Read(state.RunningMean));
            Assert.Equal(variance.Select(value => (float)value), Read(state.RunningVariance));
            new OperationCheck(Backend, 63).Input(n, c, h, w).Compare(
                v => [.. Padded(v[0]).Select(value => 3 * value)], t => Backend.Add(Backend.PadWithNorm(t[0], state), Backend.Scale(Backend.PadWithNorm(t[0], state), 2)));
        }
    }

    /// <summary>The border has the running statistics after the update by this batch, and its gradient does not reach the batch norm: all gradients are those of the interior.</summary>
    [BackendFact]
    public void A_border_follows_the_update_of_the_running_statistics_and_has_no_gradient()
    {
        const int N = 3, C = 6, Size = 4;
        float[] input = Random(new Random(64), N, C, Size, Size), direction = Random(new Random(65), N, C, Size + 2, Size + 2);
        double[] interior = [.. Interior(direction).Select(value => (double)value)];
        var results = new List<float[]>[2];
        for (int side = 0; side < 2; side++)
        {
            var (mean, variance) = Statistics(C, 0);
            var state = NewState(Parameter(C), Parameter(C), C, mean, variance);
            using (Backend.BeginStep(training: true))
            {
                var x = Backend.CreateInput([N, C, Size, Size], input, requiresGradient: true);
                var y = Backend.BatchNorm(x, state);
                float[] map = Read(y);
                if (side == 0)
                {
                    y = Backend.PadWithNorm(y, state);
                    float[] weight = Read(state.Weight), bias = Read(state.Bias), runningMean = Read(state.RunningMean), runningVariance = Read(state.RunningVariance);
                    Assert.NotEqual(mean[1], runningMean[1], 1e-3);
                    double[] expected = WithBorder([.. map.Select(value => (double)value)], N, C, Size, Size, c => bias[c] - runningMean[c] * weight[c] / Math.Sqrt(runningVariance[c] + (double)state.Epsilon));
                    float[] padded = Read(y);
                    Compare.Close([.. expected.Select(value => (float)value)], padded, 1e-6);
                    Assert.Equal(map, Interior(padded));
                }
                Backend.BackwardFrom(y, side == 0 ? direction : [.. interior.Select(value => (float)value)]);
                results[side] = [Gradient(x), Gradient(state.Weight), Gradient(state.Bias)];
            }
        }
        for (int i = 0; i < results[0].Count; i++)
            Assert.Equal(results[1][i], results[0][i]);

        static float[] Interior(float[] padded) => [.. padded.Where((_, at) => at / (Size + 2) % (Size + 2) is > 0 and <= Size && at % (Size + 2) is > 0 and <= Size)];
    }

    [BackendFact]
    public void Windows_and_borders_that_do_not_fit_are_refused()
    {
        using (Backend.BeginStep(training: true))
        {
            var map = Input(new double[2 * 10], 1, 2, 2, 5);
            Assert.Contains("padding 0 or 1", Assert.Throws<ArgumentException>(() => Backend.AveragePool3x3(map, 1, 2)).Message);
            Assert.Contains("stride 0", Assert.Throws<ArgumentException>(() => Backend.AveragePool3x3(map, 0, 1)).Message);
            Assert.Contains("[1, 2, 2, 5]", Assert.Throws<ArgumentException>(() => Backend.AveragePool3x3(map, 1, 0)).Message);
            Assert.Contains("2 outputs or channels", Assert.Throws<ArgumentException>(() => Backend.PadWithNorm(map, NewState(Parameter(3), Parameter(3), 3))).Message);
            Assert.Throws<ArgumentException>(() => Backend.PadWithNorm(Input(new double[4], 2, 2), NewState(Parameter(2), Parameter(2), 2)));
        }
    }

    /// <summary>Surrounds maps [N, C, h, w] with one value per channel.</summary>
    private static double[] WithBorder(double[] maps, int n, int c, int h, int w, Func<int, double> border) =>
        [.. Enumerable.Range(0, n * c * (h + 2) * (w + 2)).Select(at =>
        {
            int x = at % (w + 2) - 1, y = at / (w + 2) % (h + 2) - 1, map = at / ((w + 2) * (h + 2));
            return x >= 0 && x < w && y >= 0 && y < h ? maps[(map * h + y) * w + x] : border(map % c);
        })];
}
