using RepVgg.Backends;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Testing;

/// <content>What training needs beside operations: optimizer, averages, totals, staged batches.</content>
public abstract partial class BackendTests
{
    [BackendTheory]
    [InlineData(0f, false)]
    [InlineData(0.9f, false)]
    [InlineData(0.7f, true)]
    public void Sgd_is_PyTorchs(float momentum, bool nesterov)
    {
        using var model = new LinearModel(Backend);
        using var optimizer = Backend.CreateOptimizer(
            [new ParameterGroup([("kernel", model.Kernel), ("weight", model.Weight)], 0.05f), new ParameterGroup([("bias", model.Bias), ("unused", model.Unused)], 0.5f, LearningRateScale: 0.3f)],
            new SgdOptions(momentum, nesterov));
        Tensor[] order = [model.Kernel, model.Weight, model.Bias];
        double[][] weights = [.. order.Select(tensor => Read(tensor).Select(value => (double)value).ToArray())];
        double[][] velocity = [.. weights.Select(values => new double[values.Length])];
        for (int step = 0; step < 4; step++)
        {
            model.Step(step);
            float rate = 0.1f + 0.02f * step;
            for (int i = 0; i < order.Length; i++)
            {
                double decay = i < 2 ? 0.05f : 0.5f, scaled = rate * (i < 2 ? 1 : 0.3f);
                var gradient = new float[weights[i].Length];
                Backend.CopyGradient(order[i], gradient);
                Assert.Contains(gradient, value => Math.Abs(value) > 1e-4);
                for (int j = 0; j < gradient.Length; j++)
                {
                    double g = gradient[j] + decay * weights[i][j];
                    velocity[i][j] = momentum * velocity[i][j] + g;
                    weights[i][j] -= scaled * (nesterov ? g + momentum * velocity[i][j] : velocity[i][j]);
                }
            }
            optimizer.Step(rate);
            for (int i = 0; i < order.Length; i++)
                Compare.Close([.. weights[i].Select(value => (float)value)], Read(order[i]), 2e-6, $"weights {i} after step {step}");
        }
        Assert.Equal([1f, 2f, 3f], Read(model.Unused));
        var state = optimizer.ExportState();
        if (momentum == 0)
        {
            Assert.Empty(state);
            return;
        }
        Assert.Equal(["momentum_buffer/kernel", "momentum_buffer/weight", "momentum_buffer/bias", "momentum_buffer/unused"], state.Names);
        Assert.Equal([[3, 2, 3, 3], [4, 3], [4], [3]], state.Select(entry => entry.Value.Shape.ToArray()));
        Compare.Close([.. velocity[0].Select(value => (float)value)], state["momentum_buffer/kernel"].Values, 2e-6, "momentum");
    }

    /// <summary>Backends may update long tensors in pieces, and short ones together.</summary>
    [BackendTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void Sgd_updates_long_and_short_tensors_alike(bool nesterov)
    {
        const int Inputs = 500, Outputs = 400;
        const float Momentum = 0.9f, Decay = 0.05f, Rate = 0.5f;
        float[] input = Array.ConvertAll(LinearModel.Draw(4, 6, Inputs).Values, value => 0.1f * value);
        using var weight = Backend.CreateParameter(LinearModel.Draw(5, Outputs, Inputs));
        using var bias = Backend.CreateParameter(LinearModel.Draw(6, Outputs));
        using var unused = Backend.CreateParameter(new TensorData([3], [1, 2, 3]));
        using var optimizer = Backend.CreateOptimizer([new ParameterGroup([("0", weight), ("1", bias), ("2", unused)], Decay)], new SgdOptions(Momentum, nesterov));
        Tensor[] trained = [weight, bias];
        double[][] expected = [.. trained.Select(tensor => Read(tensor).Select(value => (double)value).ToArray())];
        double[][] velocity = [.. expected.Select(values => new double[values.Length])];
        for (int step = 0; step < 3; step++)
        {
            using (Backend.BeginStep(training: true))
                Backend.Backward(Backend.SoftmaxCrossEntropy(Backend.Linear(Backend.CreateInput([6, Inputs], input), weight, bias), [0, 100, 261, 262, 300, 399], 0));
            for (int i = 0; i < trained.Length; i++)
            {
                var gradient = new float[expected[i].Length];
                Backend.CopyGradient(trained[i], gradient);
                Assert.Contains(gradient[..(gradient.Length / 4)], value => Math.Abs(value) > 0.01);
                Assert.Contains(gradient[(gradient.Length * 3 / 4)..], value => Math.Abs(value) > 0.01);
                for (int j = 0; j < gradient.Length; j++)
                {
                    double g = gradient[j] + Decay * expected[i][j];
                    velocity[i][j] = Momentum * velocity[i][j] + g;
                    expected[i][j] -= Rate * (nesterov ? g + Momentum * velocity[i][j] : velocity[i][j]);
                }
            }
            optimizer.Step(Rate);
        }
        var state = optimizer.ExportState();
        for (int i = 0; i < trained.Length; i++)
        {
            Compare.Close([.. expected[i].Select(value => (float)value)], Read(trained[i]), 2e-6, $"weights {i}");
            Compare.Close([.. velocity[i].Select(value => (float)value)], state[$"momentum_buffer/{i}"].Values, 2e-6, $"momentum {i}");
        }
        Assert.Equal([1f, 2f, 3f], Read(unused));
    }

    [BackendFact]
    public void An_optimizer_goes_on_from_its_state()
    {
        using var whole = new LinearModel(Backend);
        using var first = whole.Optimizer();
        using var cut = new LinearModel(Backend);
        using (var before = cut.Optimizer())
        {
            Train(whole, first, 0, 3);
            Train(cut, before, 0, 3);
            using var after = cut.Optimizer();
            after.ImportState(before.ExportState());
            Train(cut, after, 3, 6);
        }
        Train(whole, first, 3, 6);
        Assert.Equal(Read(whole.Kernel), Read(cut.Kernel));
        Assert.Equal(Read(whole.Bias), Read(cut.Bias));
        var exported = first.ExportState();
        Assert.Contains("'momentum_buffer/kernel'", Assert.Throws<ArgumentException>(() => first.ImportState([])).Message);
        exported["momentum_buffer/weight"] = TensorData.Zeros(1);
        Assert.Contains("'momentum_buffer/weight' of the optimizer's state has the shape [1], not [4, 3]", Assert.Throws<ArgumentException>(() => first.ImportState(exported)).Message);
        var surplus = first.ExportState();
        surplus["exp_avg/kernel"] = TensorData.Zeros(1);
        Assert.Contains("'exp_avg/kernel'", Assert.Throws<ArgumentException>(() => first.ImportState(surplus)).Message);

        static void Train(LinearModel model, Optimizer optimizer, int from, int to)
        {
            for (int step = from; step < to; step++)
            {
                model.Step(step);
                optimizer.Step(0.1f);
            }
        }
    }

    [BackendFact]
    public void Two_optimizers_can_share_parameters()
    {
        using var model = new LinearModel(Backend);
        using var one = model.Optimizer();
        using var two = Backend.CreateOptimizer([new ParameterGroup([("bias", model.Bias), ("kernel", model.Kernel)], 0)], new SgdOptions(0));
        foreach (var optimizer in (Optimizer[])[one, two, one])
        {
            model.Step(1);
            var before = Read(model.Bias);
            optimizer.Step(0.1f);
            Assert.NotEqual(before, Read(model.Bias));
        }
    }

    [BackendTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void Weight_average_follows_the_weights(bool optimizerFirst)
    {
        using var model = new LinearModel(Backend);
        var optimizer = optimizerFirst ? model.Optimizer() : null;
        using var average = Backend.CreateWeightAverage(model.Tensors);
        optimizer ??= model.Optimizer();
        double[] expected = [.. Read(model.Kernel).Select(value => (double)value)];
        for (int step = 0; step < 3; step++)
        {
            model.Step(step);
            optimizer.Step(0.2f);
            Backend.CopyIn(model.Mean, [step + 1f]);
            average.Update(0.75f);
            float[] now = Read(model.Kernel);
            expected = [.. expected.Select((value, i) => 0.75 * value + 0.25 * now[i])];
        }
        float[] averaged = [.. expected.Select(value => (float)value)], own = Read(model.Kernel);
        average.Swap();
        Compare.Close(averaged, Read(model.Kernel), 1e-6);
        Compare.Close([0.25f * (0.75f * 0.75f + 2 * 0.75f + 3)], Read(model.Mean), 1e-6);
        average.Swap();
        Assert.Equal(own, Read(model.Kernel));

        var state = average.ExportState();
        Compare.Close(averaged, state["kernel"].Values, 1e-6);
        using var other = Backend.CreateWeightAverage(model.Tensors);
        other.ImportState(state);
        other.Swap();
        Compare.Close(averaged, Read(model.Kernel), 1e-6);
        Assert.Contains("'kernel'", Assert.Throws<ArgumentException>(() => other.ImportState([])).Message);
        state["mean"] = TensorData.Zeros(2);
        Assert.Contains("'mean'", Assert.Throws<ArgumentException>(() => other.ImportState(state)).Message);
        optimizer.Dispose();
    }

    [BackendFact]
    public void Totals_weigh_images_not_batches()
    {
        using var totals = Backend.CreateMetricAccumulator();
        using (Backend.BeginStep(training: false))
        {
            var logits = Input([1, 0, 1, 0, 0, 1], 3, 2);
            totals.Add(Backend.SoftmaxCrossEntropy(logits, [0, 0, 1], 0), logits, [0, 0, 1]);
        }
        using (Backend.BeginStep(training: false))
        {
            var logits = Input([0, 2], 1, 2);
            totals.Add(Backend.SoftmaxCrossEntropy(logits, [0], 0), logits, [0]);
        }
        var (loss, correct, images) = totals.ReadAndReset();
        Assert.Equal(3 * Math.Log(1 + Math.Exp(-1)) + Math.Log(1 + Math.Exp(2)), loss, 1e-5);
        Assert.Equal((3, 4), (correct, images));
        Assert.Equal((0.0, 0L, 0L), totals.ReadAndReset());
        using (Backend.BeginStep(training: false))
        {
            var logits = Input([0, double.NaN], 1, 2);
            totals.Add(Backend.SoftmaxCrossEntropy(logits, [0], 0), logits, [0]);
        }
        Assert.True(double.IsNaN(totals.ReadAndReset().LossSum));
    }

    [BackendFact]
    public async Task Batches_staged_on_another_thread_arrive_whole()
    {
        var random = new Random(3);
        float[] values = [.. Enumerable.Range(0, 2 * 3 * 4 * 5).Select(_ => random.NextSingle())];
        using var staged = await Task.Run(() => Backend.Stage([2, 3, 4, 5], values));
        using var unused = Backend.Stage([2, 3, 4, 5], values);
        Assert.Equal([2, 3, 4, 5], staged.Shape);
        using (Backend.BeginStep(training: true))
        {
            var input = Backend.CreateInput(staged);
            Assert.Equal([2, 3, 4, 5], input.Shape);
            Assert.Equal(values, Read(input));
            Assert.Equal(values, Read(Backend.Relu(input)));
        }
    }

    [BackendFact]
    public void Misuse_is_refused()
    {
        Assert.Throws<InvalidOperationException>(() => Backend.Relu(Input([1], 1, 1)));
        using (Backend.BeginStep(training: false))
        {
            Assert.Throws<InvalidOperationException>(() => Backend.BeginStep(training: true));
            var scores = Input([1, 2], 1, 2);
            Assert.Throws<InvalidOperationException>(() => Backend.Backward(Backend.SoftmaxCrossEntropy(scores, [0], 0)));
            Assert.Throws<ArgumentOutOfRangeException>(() => Backend.SoftmaxCrossEntropy(scores, [2], 0));
            Assert.Throws<ArgumentException>(() => Backend.SoftmaxCrossEntropy(scores, [0, 1], 0));
            Assert.Throws<ArgumentException>(() => Backend.Add(scores, Input([1, 2, 3], 1, 3)));
            Assert.Throws<ArgumentException>(() => Input([1, 2, 3], 1, 2));
            Assert.Throws<ArgumentException>(() => Input([], 0, 2));
            Assert.Throws<ArgumentException>(() => Backend.CopyOut(scores, new float[3]));
            using var matrix = Backend.CreateParameter(TensorData.Zeros(2, 3));
            using var vector = Backend.CreateParameter(TensorData.Zeros(2));
            Assert.Throws<ArgumentException>(() => Backend.Linear(scores, matrix, vector));
            using var kernel = Backend.CreateParameter(TensorData.Zeros(2, 3, 3, 3));
            var map = Input(new double[2 * 5 * 5], 1, 2, 5, 5);
            Assert.Throws<ArgumentException>(() => Backend.Conv2d(map, kernel, null, 1, 1, 1));
            Assert.Throws<ArgumentException>(() => Backend.ScaleChannels(map, map));
        }
        Assert.Throws<ArgumentException>(() => Backend.CreateOptimizer([], new SgdOptions(0, Nesterov: true)));
        Assert.Throws<ArgumentException>(() => Backend.CreateOptimizer([], new SgdOptions(-1)));
        using var model = new LinearModel(Backend);
        Assert.Contains("'mean'", Assert.Throws<ArgumentException>(() => Backend.CreateOptimizer([new ParameterGroup([("mean", model.Mean)], 0)], new SgdOptions())).Message);
        Assert.Contains("'b'", Assert.Throws<ArgumentException>(() => Backend.CreateOptimizer([new ParameterGroup([("a", model.Kernel), ("b", model.Kernel)], 0)], new SgdOptions())).Message);
        Assert.Contains("'a'", Assert.Throws<ArgumentException>(() => Backend.CreateWeightAverage([("a", model.Kernel), ("a", model.Mean)])).Message);
        Assert.Contains("'b'", Assert.Throws<ArgumentException>(() => Backend.CreateWeightAverage([("a", model.Kernel), ("b", model.Kernel)])).Message);
        var disposed = model.Optimizer();
        disposed.Dispose();
        Assert.Throws<ObjectDisposedException>(() => disposed.Step(0.1f));
        Assert.Throws<ObjectDisposedException>(() => disposed.ExportState());
        using (Backend.BeginStep(training: true))
        {
            Assert.Throws<ArgumentException>(() => Backend.BackwardFrom(model.Kernel, new float[54]));
            var step = Backend.CreateInput([1, 3], new float[3]);
            Assert.Contains("weight", Assert.Throws<ArgumentException>(() => Backend.Linear(step, Backend.CreateInput([4, 3], new float[12]), model.Bias)).Message);
        }
    }

    [BackendFact]
    public void Released_tensors_and_gradients_of_results_are_refused()
    {
        Tensor result;
        var disposed = Backend.CreateParameter(TensorData.Zeros(2));
        disposed.Dispose();
        Assert.Throws<ObjectDisposedException>(() => Backend.CopyOut(disposed, new float[2]));
        using (Backend.BeginStep(training: true))
        {
            var input = Backend.CreateInput([1, 2], [1, -2], requiresGradient: true);
            result = Backend.Scale(input, 3);
            Backend.BackwardFrom(Backend.Relu(result), [1, 1]);
            Assert.Equal([3, 0], Gradient(input));
            Assert.Contains("has no gradient", Assert.Throws<ArgumentException>(() => Gradient(result)).Message);
            Assert.Throws<InvalidOperationException>(() => Backend.BackwardFrom(result, [1, 1]));
        }
        Assert.Throws<ObjectDisposedException>(() => Backend.CopyOut(result, new float[2]));
        Assert.Throws<InvalidOperationException>(() => Backend.Relu(result));
    }

    /// <summary>A convolution, a pool and a linear layer under a loss; a buffer, and a parameter that takes no part.</summary>
    private sealed class LinearModel(Backend backend) : IDisposable
    {
        public Tensor Kernel { get; } = backend.CreateParameter(Draw(1, 3, 2, 3, 3));

        public Tensor Weight { get; } = backend.CreateParameter(Draw(2, 4, 3));

        public Tensor Bias { get; } = backend.CreateParameter(Draw(3, 4));

        public Tensor Unused { get; } = backend.CreateParameter(new TensorData([3], [1, 2, 3]));

        public Tensor Mean { get; } = backend.CreateBuffer(new TensorData([1], [0]));

        public (string Name, Tensor Tensor)[] Tensors => [("kernel", Kernel), ("mean", Mean), ("weight", Weight), ("bias", Bias), ("unused", Unused)];

        public Optimizer Optimizer() => backend.CreateOptimizer([new ParameterGroup([("kernel", Kernel), ("weight", Weight), ("bias", Bias)], 0.01f)], new SgdOptions(0.9f));

        /// <summary>Leaves gradients.</summary>
        public void Step(int seed)
        {
            using var step = backend.BeginStep(training: true);
            var input = Draw(100 + seed, 5, 2, 6, 7);
            var map = backend.Conv2d(backend.CreateInput([.. input.Shape], input.Values), Kernel, null, 1, 1, 1);
            var logits = backend.Linear(backend.GlobalAveragePool(map), Weight, Bias);
            backend.Backward(backend.SoftmaxCrossEntropy(logits, [0, 1, 2, 3, 0], 0));
        }

        public void Dispose()
        {
            foreach (var (_, tensor) in Tensors)
                tensor.Dispose();
        }

        public static TensorData Draw(int seed, params int[] shape)
        {
            var random = new Random(seed);
            var tensor = TensorData.Zeros(shape);
            foreach (ref float value in tensor.Values.AsSpan())
                value = (float)OperationCheck.Gaussian(random);
            return tensor;
        }
    }
}
