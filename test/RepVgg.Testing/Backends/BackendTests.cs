using RepVgg.Backends;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Testing;

/// <summary>What every backend must compute, operation by operation, forward and backward.</summary>
public abstract partial class BackendTests : IDisposable
{
    private protected BackendTests(Backend backend) => Backend = backend;

    private protected Backend Backend { get; }

    public void Dispose()
    {
        Backend.Dispose();
        GC.SuppressFinalize(this);
    }

    [BackendTheory]
    [InlineData(1, 1, 1, 1, 1, 3, 1, 1, 1)]
    [InlineData(2, 3, 5, 7, 8, 3, 1, 1, 1)]
    [InlineData(1, 1, 28, 28, 16, 3, 1, 1, 1)]
    [InlineData(3, 16, 9, 8, 17, 3, 1, 1, 1)]
    [InlineData(2, 33, 7, 6, 40, 3, 1, 1, 1)]
    [InlineData(2, 3, 33, 31, 8, 3, 2, 1, 1)]
    [InlineData(9, 8, 6, 5, 13, 3, 2, 1, 1)]
    [InlineData(2, 20, 11, 14, 36, 3, 2, 1, 1)]
    [InlineData(1, 32, 14, 14, 32, 3, 1, 1, 1)]
    [InlineData(5, 32, 7, 7, 48, 3, 1, 1, 1)]
    [InlineData(2, 48, 6, 11, 32, 3, 1, 1, 1)]
    [InlineData(9, 32, 4, 4, 32, 3, 1, 1, 1)]
    [InlineData(3, 64, 4, 4, 80, 3, 1, 1, 1)]
    [InlineData(3, 40, 4, 3, 72, 3, 2, 1, 1)]
    [InlineData(30, 128, 4, 3, 112, 3, 1, 1, 1)]
    [InlineData(2, 4, 2, 2, 64, 3, 1, 1, 1)]
    [InlineData(2, 48, 2, 2, 36, 3, 1, 1, 3)]
    [InlineData(2, 16, 7, 7, 16, 1, 1, 0, 1)]
    [InlineData(3, 19, 7, 9, 23, 1, 2, 0, 1)]
    [InlineData(2, 2, 5, 5, 5, 1, 1, 0, 1)]
    [InlineData(2, 8, 7, 9, 12, 3, 1, 1, 2)]
    [InlineData(2, 24, 6, 6, 16, 3, 2, 1, 4)]
    [InlineData(2, 12, 5, 6, 12, 3, 1, 1, 12)]
    [InlineData(2, 8, 7, 9, 12, 1, 2, 0, 2)]
    [InlineData(2, 5, 9, 8, 6, 5, 1, 2, 1)]
    [InlineData(1, 4, 13, 12, 6, 7, 3, 3, 1)]
    [InlineData(2, 9, 8, 9, 6, 2, 1, 0, 1)]
    [InlineData(2, 9, 8, 9, 6, 4, 2, 1, 1)]
    [InlineData(2, 9, 9, 8, 6, 2, 3, 0, 1)]
    [InlineData(2, 10, 6, 7, 4, 3, 1, 0, 1)]
    [InlineData(1, 9, 4, 5, 4, 3, 1, 2, 1)]
    [InlineData(2, 32, 7, 9, 32, 3, 1, 0, 1)]
    [InlineData(2, 12, 9, 7, 16, 3, 2, 0, 1)]
    [InlineData(3, 4, 9, 11, 6, 3, 2, 0, 1)]
    [InlineData(2, 8, 9, 7, 12, 3, 2, 0, 2)]
    [InlineData(3, 12, 5, 7, 12, 3, 1, 0, 12)]
    [InlineData(9, 16, 3, 3, 16, 3, 1, 0, 1)]
    public void Convolution(int n, int c, int h, int w, int o, int k, int stride, int padding, int groups)
    {
        new OperationCheck(Backend, 1).Input(n, c, h, w).Parameter(o, c / groups, k, k).Parameter(o).Compare(
            v => ReferenceOperations.Convolution(v[0], n, c, h, w, v[1], o, k, k, v[2], stride, padding, groups),
            t => Backend.Conv2d(t[0], t[1], t[2], stride, padding, groups));
    }

    [BackendFact]
    public void Convolution_without_bias_and_with_an_oblong_kernel()
    {
        new OperationCheck(Backend, 2).Input(2, 9, 6, 8).Parameter(7, 9, 1, 3).Compare(
            v => ReferenceOperations.Convolution(v[0], 2, 9, 6, 8, v[1], 7, 1, 3, null, 1, 1, 1),
            t => Backend.Conv2d(t[0], t[1], null, 1, 1, 1));
    }

    [BackendTheory]
    [InlineData(3, 1, 1, 1)]
    [InlineData(4, 7, 1, 1)]
    [InlineData(4, 16, 14, 14)]
    [InlineData(9, 19, 5, 3)]
    [InlineData(2, 33, 17, 19)]
    public void Batch_norm_with_batch_statistics(int n, int c, int h, int w)
    {
        new OperationCheck(Backend, 3).Input([n, c, h, w], random => 3 + 2 * OperationCheck.Gaussian(random)).Parameter(c).Parameter(c).Compare(
            v => ReferenceOperations.BatchNorm(v[0], n, c, h * w, v[1], v[2], 1e-5),
            t => Backend.BatchNorm(t[0], NewState(t[1], t[2], c)));
    }

    [BackendFact]
    public void Batch_norm_of_vectors()
    {
        new OperationCheck(Backend, 4).Input(6, 21).Parameter(21).Parameter(21).Compare(
            v => ReferenceOperations.BatchNorm(v[0], 6, 21, 1, v[1], v[2], 1e-5),
            t => Backend.BatchNorm(t[0], NewState(t[1], t[2], 21)));
    }

    [BackendFact]
    public void Batch_norm_of_large_means_keeps_its_variance()
    {
        new OperationCheck(Backend, 5) { Tolerance = 1e-4 }.Input([4, 18, 9, 9], random => 1000 + OperationCheck.Gaussian(random)).Parameter(18).Parameter(18).Compare(
            v => ReferenceOperations.BatchNorm(v[0], 4, 18, 81, v[1], v[2], 1e-5),
            t => Backend.BatchNorm(t[0], NewState(t[1], t[2], 18)));
    }

    [BackendTheory]
    [InlineData(1, 5, 3, 4)]
    [InlineData(3, 32, 7, 7)]
    public void Batch_norm_with_running_statistics(int n, int c, int h, int w)
    {
        double[] mean = [.. Enumerable.Range(0, c).Select(i => (double)(float)(0.1 * i - 1))];
        double[] variance = [.. Enumerable.Range(0, c).Select(i => (double)(float)(0.5 + 0.1 * i))];
        new OperationCheck(Backend, 6) { Training = false }.Input(n, c, h, w).Parameter(c).Parameter(c).Compare(
            v => ReferenceOperations.Normalize(v[0], c, h * w, mean, variance, v[1], v[2], 1e-3),
            t => Backend.BatchNorm(t[0], NewState(t[1], t[2], c, mean, variance) with { Epsilon = 1e-3f }));
    }

    [BackendFact]
    public void Batch_norm_updates_running_statistics_as_PyTorch_does()
    {
        const int N = 5, C = 9, Area = 12;
        var random = new Random(7);
        double[] x = [.. Enumerable.Range(0, N * C * Area).Select(_ => (double)(float)(1 + OperationCheck.Gaussian(random)))];
        var state = NewState(Parameter(C), Parameter(C), C) with { Momentum = 0.3f };
        var (mean, variance) = ReferenceOperations.Moments(x, N, C, Area);
        float[] expectedMean = new float[C], expectedVariance = new float[C];
        double runningMean = 0;
        using (Backend.BeginStep(training: true))
            Backend.BatchNorm(Input(x, N, C, 3, 4), state);
        for (int c = 0; c < C; c++)
        {
            expectedMean[c] = (float)(0.7 * runningMean + 0.3 * mean[c]);
            expectedVariance[c] = (float)(0.7 + 0.3 * variance[c] * N * Area / (N * Area - 1));
        }
        Compare.Close(expectedMean, Read(state.RunningMean), 1e-6);
        Compare.Close(expectedVariance, Read(state.RunningVariance), 1e-6);
        using (Backend.BeginStep(training: false))
            Backend.BatchNorm(Input(x, N, C, 3, 4), state);
        Compare.Close(expectedMean, Read(state.RunningMean), 1e-6);
    }

    [BackendFact]
    public void Batch_norm_refuses_a_single_value_per_channel()
    {
        using (Backend.BeginStep(training: true))
            Assert.ThrowsAny<InvalidOperationException>(() => Backend.BatchNorm(Input(new double[4], 1, 4, 1, 1), NewState(Parameter(4), Parameter(4), 4)));
    }

    [BackendTheory]
    [InlineData(1, 1, 1, 1)]
    [InlineData(2, 5, 7, 3)]
    [InlineData(3, 32, 13, 11)]
    public void Element_wise_operations(int n, int c, int h, int w)
    {
        new OperationCheck(Backend, 8).Input(n, c, h, w).Input(n, c, h, w).Compare(
            v => ReferenceOperations.Add(v[0], v[1]), t => Backend.Add(t[0], t[1]));
        new OperationCheck(Backend, 9).Input(n, c, h, w).Compare(
            v => ReferenceOperations.Add(v[0], v[0]), t => Backend.Add(t[0], t[0]));
        new OperationCheck(Backend, 10).Input(n, c, h, w).Compare(
            v => ReferenceOperations.Relu(v[0]), t => Backend.Relu(t[0]));
        new OperationCheck(Backend, 11).Input(n, c, h, w).Compare(
            v => ReferenceOperations.Sigmoid(v[0]), t => Backend.Sigmoid(t[0]));
        new OperationCheck(Backend, 12).Input(n, c, h, w).Compare(
            v => [.. v[0].Select(value => value * 0.375)], t => Backend.Scale(t[0], 0.375f));
        new OperationCheck(Backend, 13).Input(n, c, h, w).Input(n, c, 1, 1).Compare(
            v => ReferenceOperations.ScaleChannels(v[0], h * w, v[1]), t => Backend.ScaleChannels(t[0], t[1]));
        new OperationCheck(Backend, 14).Input(n, c, h, w).Compare(
            v => ReferenceOperations.AveragePool(v[0], h * w), t => Backend.GlobalAveragePool(t[0]));
    }

    [BackendTheory]
    [InlineData(1, 1, 1)]
    [InlineData(7, 21, 10)]
    [InlineData(35, 64, 17)]
    [InlineData(67, 33, 50)]
    public void Linear(int n, int inputs, int outputs)
    {
        new OperationCheck(Backend, 15).Input(n, inputs).Parameter(outputs, inputs).Parameter(outputs).Compare(
            v => ReferenceOperations.Linear(v[0], inputs, v[1], v[2]), t => Backend.Linear(t[0], t[1], t[2]));
        new OperationCheck(Backend, 16).Input(n, inputs, 1, 1).Parameter(outputs, inputs).Parameter(outputs).Compare(
            v => ReferenceOperations.Linear(v[0], inputs, v[1], v[2]), t => Backend.Linear(t[0], t[1], t[2]));
    }

    [BackendTheory]
    [InlineData(1, 2, 0f, 1.0)]
    [InlineData(5, 10, 0.1f, 3.0)]
    [InlineData(9, 100, 0.25f, 200.0)]
    public void Softmax_cross_entropy(int n, int classes, float smoothing, double size)
    {
        int[] labels = [.. Enumerable.Range(0, n).Select(i => i * 7 % classes)];
        new OperationCheck(Backend, 17).Input([n, classes], random => size * OperationCheck.Gaussian(random)).Compare(
            v => [ReferenceOperations.CrossEntropy(v[0], classes, labels, smoothing)], t => Backend.SoftmaxCrossEntropy(t[0], labels, smoothing));
    }

    [BackendTheory]
    [InlineData(1, 2, 3.0)]
    [InlineData(5, 10, 1.0)]
    [InlineData(9, 300, 200.0)]
    public void Softmax_cross_entropy_of_weighted_targets(int n, int classes, double size)
    {
        var random = new Random(n);
        float[] targets = [.. Enumerable.Range(0, n * classes).Select(i => i % 3 == 1 ? 0 : 2 * random.NextSingle())];
        // The first sample has the weight 0 if there are others.
        targets.AsSpan(0, n > 1 ? classes : 0).Clear();
        new OperationCheck(Backend, 17).Input([n, classes], random => size * OperationCheck.Gaussian(random)).Compare(
            v => [ReferenceOperations.CrossEntropy(v[0], classes, targets)], t => Backend.SoftmaxCrossEntropy(t[0], targets));
    }

    [BackendFact]
    public void A_whole_squeeze_and_excitation_head()
    {
        const int N = 3, C = 12, Area = 30;
        int[] labels = [1, 0, 2];
        new OperationCheck(Backend, 18).Input(N, C, 5, 6).Parameter(4, C, 1, 1).Parameter(4).Parameter(C, 4, 1, 1).Parameter(C).Parameter(3, C).Parameter(3).Compare(
            v =>
            {
                var hidden = ReferenceOperations.Relu(ReferenceOperations.Convolution(ReferenceOperations.AveragePool(v[0], Area), N, C, 1, 1, v[1], 4, 1, 1, v[2], 1, 0, 1));
                var scale = ReferenceOperations.Sigmoid(ReferenceOperations.Convolution(hidden, N, 4, 1, 1, v[3], C, 1, 1, v[4], 1, 0, 1));
                var pooled = ReferenceOperations.AveragePool(ReferenceOperations.ScaleChannels(v[0], Area, scale), Area);
                return [0.4 * ReferenceOperations.CrossEntropy(ReferenceOperations.Linear(pooled, C, v[5], v[6]), 3, labels, 0.1)];
            },
            t =>
            {
                var hidden = Backend.Relu(Backend.Conv2d(Backend.GlobalAveragePool(t[0]), t[1], t[2], 1, 0, 1));
                var scale = Backend.Sigmoid(Backend.Conv2d(hidden, t[3], t[4], 1, 0, 1));
                var pooled = Backend.GlobalAveragePool(Backend.ScaleChannels(t[0], scale));
                return Backend.Scale(Backend.SoftmaxCrossEntropy(Backend.Linear(pooled, t[5], t[6]), labels, 0.1f), 0.4f);
            });
    }

    private BatchNormState NewState(Tensor weight, Tensor bias, int channels, double[]? mean = null, double[]? variance = null) => new(
        weight, bias,
        Backend.CreateBuffer(new TensorData([channels], [.. (mean ?? new double[channels]).Select(value => (float)value)])),
        Backend.CreateBuffer(new TensorData([channels], [.. (variance ?? [.. Enumerable.Repeat(1.0, channels)]).Select(value => (float)value)])));

    private Tensor Parameter(int count) => Backend.CreateParameter(new TensorData([count], [.. Enumerable.Range(0, count).Select(i => 1f + 0.1f * i)]));

    private Tensor Input(double[] values, params int[] shape) => Backend.CreateInput(shape, [.. values.Select(value => (float)value)]);

    private float[] Read(Tensor tensor)
    {
        var values = new float[tensor.Shape.Aggregate(1, (product, dimension) => product * dimension)];
        Backend.CopyOut(tensor, values);
        return values;
    }
}
