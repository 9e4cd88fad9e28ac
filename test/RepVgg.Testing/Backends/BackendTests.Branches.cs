using RepVgg.Backends;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Testing;

/// <content>Frozen statistics, and what a block's branches add up to.</content>
public abstract partial class BackendTests
{
    private const double Epsilon = 1e-3f;

    [BackendTheory]
    [InlineData(1, 5, 3, 4)]
    [InlineData(3, 32, 7, 7)]
    public void A_frozen_batch_norm_uses_and_keeps_its_statistics_in_training(int n, int c, int h, int w)
    {
        var (mean, variance) = Statistics(c, 0);
        BatchNormState? state = null;
        new OperationCheck(Backend, 21).Input(n, c, h, w).Parameter(c).Parameter(c).Compare(
            v => ReferenceOperations.Normalize(v[0], c, h * w, mean, variance, v[1], v[2], Epsilon),
            t => Backend.BatchNorm(t[0], state = NewState(t[1], t[2], c, mean, variance) with { Epsilon = (float)Epsilon, Frozen = true }));
        Assert.Equal(mean.Select(value => (float)value), Read(state!.RunningMean));
        Assert.Equal(variance.Select(value => (float)value), Read(state.RunningVariance));
    }

    [BackendFact]
    public void What_is_below_buffers_only_gets_no_gradient_and_the_rest_does()
    {
        var draw = new Random(7);
        var parameters = new List<Tensor>();
        using var frozen = Backend.CreateBuffer(new TensorData([8, 3, 3, 3], Random(draw, 8, 3, 3, 3)));
        Tensor kernel = New(draw, parameters, 4, 8, 3, 3);
        using (Backend.BeginStep(training: true))
        {
            var below = Backend.Relu(Backend.Conv2d(Backend.CreateInput([2, 3, 6, 6], Random(draw, 2, 3, 6, 6)), frozen, null, 1, 1, 1));
            var y = Backend.Conv2d(below, kernel, null, 1, 1, 1);
            Backend.BackwardFrom(y, Random(draw, [.. y.Shape]));
            Assert.Throws<ArgumentException>(() => Gradient(below));
            Assert.Throws<ArgumentException>(() => Gradient(frozen));
        }
        Assert.Contains(Gradient(kernel), value => value != 0);
    }

    [BackendTheory]
    [InlineData(6, 6, false)]
    [InlineData(6, 3, true)]
    [InlineData(5, 5, true)]
    [InlineData(33, 20, false)]
    public void The_equivalent_kernel_and_bias_are_the_branches_sum(int o, int i, bool identity)
    {
        Branches(o, i, identity).Compare(v => ReferenceKernel(v, o, i, identity), t => Backend.EquivalentKernel(ToBranches(t, o, identity)));
        Branches(o, i, identity).Compare(v => ReferenceBias(v, o, identity), t => Backend.EquivalentBias(ToBranches(t, o, identity)));
    }

    /// <summary>The scales count as constants, so only the kernels have a gradient to check.</summary>
    [BackendTheory]
    [InlineData(6, 6, true)]
    [InlineData(7, 3, false)]
    [InlineData(40, 20, false)]
    public void The_branch_penalty_is_the_authors_custom_L2(int o, int i, bool identity)
    {
        var draw = new Random(8);
        float[][] norms = [.. Enumerable.Range(0, 6).Select(_ => Random(draw, o))];
        new OperationCheck(Backend, 23).Parameter(o, i, 3, 3).Parameter(o, i, 1, 1).Compare(
            v => [ReferencePenalty([v[0], v[1], .. norms.Select(values => values.Select(value => (double)value).ToArray())], o, i)],
            t => Backend.BranchPenalty(ToBranches([t[0], t[1], .. norms.Select(values => Backend.CreateBuffer(new TensorData([o], values)))], o, identity)));
    }

    [BackendFact]
    public void A_branch_penalty_of_dead_batch_norms_is_the_borders_alone()
    {
        using (Backend.BeginStep(training: true))
        {
            Tensor kernel = Backend.CreateParameter(new TensorData([1, 1, 3, 3], [1, 1, 1, 1, 7, 1, 1, 1, 1])), small = Backend.CreateParameter(new TensorData([1, 1, 1, 1], [3]));
            var zero = NewState(Backend.CreateParameter(TensorData.Zeros(1)), Backend.CreateParameter(TensorData.Zeros(1)), 1);
            var penalty = Backend.BranchPenalty(ToBranches(kernel, zero, small, zero, null));
            Assert.Equal([8f], Read(penalty));
            Backend.Backward(penalty);
            Assert.Equal([2, 2, 2, 2, 0, 2, 2, 2, 2], Gradient(kernel));
        }
    }

    [BackendFact]
    public void Branches_that_do_not_belong_together_are_refused()
    {
        using (Backend.BeginStep(training: true))
        {
            Tensor large = Backend.CreateParameter(TensorData.Zeros(4, 2, 3, 3)), small = Backend.CreateParameter(TensorData.Zeros(4, 2, 1, 1)), other = Backend.CreateParameter(TensorData.Zeros(4, 3, 1, 1));
            BatchNormState norm = NewState(Parameter(4), Parameter(4), 4), wide = NewState(Parameter(5), Parameter(5), 5);
            Assert.Contains("[4, 3, 1, 1]", Assert.Throws<ArgumentException>(() => Backend.EquivalentKernel(ToBranches(large, norm, other, norm, null))).Message);
            Assert.Contains("4 outputs", Assert.Throws<ArgumentException>(() => Backend.EquivalentBias(ToBranches(large, norm, small, wide, null))).Message);
            Assert.Throws<ArgumentException>(() => Backend.BranchPenalty(ToBranches(small, norm, small, norm, null)));
        }
    }

    private OperationCheck Branches(int o, int i, bool identity)
    {
        var check = new OperationCheck(Backend, 22).Parameter(o, i, 3, 3).Parameter(o, i, 1, 1);
        for (int n = 0; n < (identity ? 6 : 4); n++)
            check.Parameter(o);
        return check;
    }

    /// <summary>Kernels, then weight and bias of every batch norm.</summary>
    private Branch[] ToBranches(Tensor[] tensors, int o, bool identity)
    {
        return ToBranches(tensors[0], Norm(0), tensors[1], Norm(1), identity ? Norm(2) : null);

        BatchNormState Norm(int index)
        {
            var (mean, variance) = Statistics(o, index);
            return NewState(tensors[2 + 2 * index], tensors[3 + 2 * index], o, mean, variance) with { Epsilon = (float)Epsilon };
        }
    }

    private static double[] ReferenceKernel(double[][] v, int o, int i, bool identity) => [.. Enumerable.Range(0, o * i * 9).Select(at =>
    {
        int output = at / (i * 9), input = at / 9 % i;
        double value = v[0][at] * Scale(v, 0, output);
        if (at % 9 == 4)
            value += v[1][at / 9] * Scale(v, 1, output) + (identity && input == output % i ? Scale(v, 2, output) : 0);
        return value;
    })];

    private static double[] ReferenceBias(double[][] v, int o, bool identity) => [.. Enumerable.Range(0, o).Select(output =>
        Enumerable.Range(0, identity ? 3 : 2).Sum(norm => v[3 + 2 * norm][output] - Statistics(o, norm).Mean[output] * Scale(v, norm, output)))];

    private static double ReferencePenalty(double[][] v, int o, int i) => Enumerable.Range(0, o * i).Sum(at =>
    {
        double t3 = Scale(v, 0, at / i), t1 = Scale(v, 1, at / i);
        double border = Enumerable.Range(0, 9).Where(tap => tap != 4).Sum(tap => Math.Pow(v[0][at * 9 + tap], 2));
        return border + Math.Pow(v[0][at * 9 + 4] * t3 + v[1][at] * t1, 2) / (t3 * t3 + t1 * t1);
    });

    private static double Scale(double[][] v, int norm, int output) =>
        v[2 + 2 * norm][output] / Math.Sqrt(Statistics(v[2].Length, norm).Variance[output] + Epsilon);

    /// <summary>Running statistics of the i-th batch norm.</summary>
    private static (double[] Mean, double[] Variance) Statistics(int channels, int index) => (
        [.. Enumerable.Range(0, channels).Select(c => (double)(float)(0.1 * c - 1 + index))],
        [.. Enumerable.Range(0, channels).Select(c => (double)(float)(0.5 + 0.1 * c + index))]);
}
