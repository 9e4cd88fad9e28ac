using System.Text.Json;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Training;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Testing;

/// <content>What training needs beside operations: averages, totals, staged batches, and refusals.</content>
public abstract partial class BackendTests
{
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

    public static TheoryData<TrainingForm> AccumulatedForms => [.. Enum.GetValues<TrainingForm>()];

    [BackendTheory]
    [MemberData(nameof(AccumulatedForms))]
    public void Gradients_of_steps_add_up(TrainingForm form)
    {
        var excitation = form == TrainingForm.QARepVgg ? SqueezeExcitation.None : SqueezeExcitation.AfterRelu;
        using var network = new TrainingNetwork(RandomNetworks.Architecture(3, 1, excitation, (6, 1, 2), (6, 2, 1)) with { TrainingForm = form }, 3, Backend, seed: 1);
        var initial = network.ExportState();
        float[][] first = Step(1, accumulate: false), second = Step(2, accumulate: false);
        float[][] sum = Step(1, accumulate: true);
        for (int i = 0; i < sum.Length; i++)
            Compare.Close([.. first[i].Zip(second[i], (a, b) => a + b)], sum[i], 1e-5, network.Parameters[i].Name);
        Assert.All(Step(1, accumulate: false).Zip(first), pair => Compare.Close(pair.Second, pair.First, 1e-5));

        float[][] Step(int seed, bool accumulate)
        {
            // The borders of DiverseBranch depend on running statistics, which every step updates.
            network.ImportState(initial);
            using var step = Backend.BeginStep(training: true);
            var images = RandomStates.Images(4, 3, 9, 8, seed);
            Backend.Backward(Backend.SoftmaxCrossEntropy(network.Forward(Backend.CreateInput([.. images.Shape], images.Values)), [0, 1, 2, 1], 0), accumulate);
            return [.. network.Parameters.Select(parameter => Gradient(parameter.Tensor))];
        }
    }

    /// <summary>A step that does not use some parameters leaves their gradients, and the optimizer updates them.</summary>
    [BackendFact]
    public void Gradients_of_parameters_that_a_step_does_not_use_are_kept()
    {
        using var model = new LinearModel(Backend);
        using var optimizer = model.Optimizer();
        model.Step(1);
        float[] weight = Gradient(model.Weight), kernel = Gradient(model.Kernel), before = Read(model.Weight);
        model.Step(2, withLinear: false, accumulate: true);
        Assert.Equal(weight, Gradient(model.Weight));
        Assert.NotEqual(kernel, Gradient(model.Kernel));
        optimizer.Step(0.1f);
        Compare.Close([.. before.Zip(weight, (value, gradient) => value - 0.1f * (gradient + 0.01f * value))], Read(model.Weight), 1e-6);
        model.Step(2, withLinear: false);
        Assert.All(Gradient(model.Weight), value => Assert.Equal(0, value));
    }

    /// <summary>Losses and gradients with respect to the logits, of PyTorch.</summary>
    [BackendFact]
    public void The_loss_of_distillation_is_PyTorchs()
    {
        using var json = JsonDocument.Parse(File.ReadAllText(GoldenFiles.PathOf(Path.Combine("distillation", "loss.json"))));
        var golden = json.RootElement;
        const int Samples = 4, Classes = 5;
        float[] logits = Floats(golden.GetProperty("logits"));
        double[] teacher = [.. golden.GetProperty("teacher").EnumerateArray().Select(value => value.GetDouble())];
        int[] labels = [.. golden.GetProperty("labels").EnumerateArray().Select(value => value.GetInt32())];
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (4, 1, 2)), 8, 8, Classes);
        foreach (var item in golden.GetProperty("cases").EnumerateArray())
        {
            float temperature = item.GetProperty("temperature").GetSingle();
            float[] weights = Floats(item.GetProperty("weights"));
            float[] targets = new float[Samples * Classes], teacherTargets = new float[Samples * Classes];
            for (int n = 0; n < Samples; n++)
            {
                targets[n * Classes + labels[n]] = weights[n];
                double[] powers = [.. teacher.Skip(n * Classes).Take(Classes).Select(logit => Math.Exp(logit / temperature))];
                for (int c = 0; c < Classes; c++)
                    teacherTargets[n * Classes + c] = (float)(weights[n] * powers[c] / powers.Sum());
            }
            var distillation = new Distillation(network, temperature, item.GetProperty("weight").GetSingle());
            using var step = Backend.BeginStep(training: true);
            var input = Backend.CreateInput([Samples, Classes], logits, requiresGradient: true);
            var loss = distillation.Loss(Backend, input, Backend.SoftmaxCrossEntropy(input, targets), teacherTargets);
            // KL divergence and cross-entropy differ by a constant.
            Compare.Close([(float)(item.GetProperty("loss").GetDouble() + item.GetProperty("constant").GetDouble())], Read(loss), 1e-5);
            Backend.Backward(loss);
            Compare.Close(Floats(item.GetProperty("gradient")), Gradient(input), 1e-5);
        }

        static float[] Floats(JsonElement values) => [.. values.EnumerateArray().Select(value => value.GetSingle())];
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
        var (loss, correct, top5, images) = totals.ReadAndReset();
        Assert.Equal(3 * Math.Log(1 + Math.Exp(-1)) + Math.Log(1 + Math.Exp(2)), loss, 1e-5);
        Assert.Equal((3, 4, 4), (correct, top5, images));
        Assert.Equal(default, totals.ReadAndReset());
        using (Backend.BeginStep(training: false))
        {
            var logits = Input([0, double.NaN], 1, 2);
            totals.Add(Backend.SoftmaxCrossEntropy(logits, [0], 0), logits, [0]);
        }
        Assert.True(double.IsNaN(totals.ReadAndReset().LossSum));
    }

    [BackendFact]
    public void Labels_among_the_five_largest_logits_are_counted()
    {
        using var totals = Backend.CreateMetricAccumulator();
        using (Backend.BeginStep(training: false))
        {
            // The labels have the largest, the fifth largest and the sixth largest logit.
            int[] labels = [0, 4, 5];
            var logits = Input([.. labels.SelectMany(_ => new double[] { 7, 6, 5, 4, 3, 2, 1 })], 3, 7);
            totals.Add(Backend.SoftmaxCrossEntropy(logits, labels, 0), logits, labels);
        }
        var (_, correct, top5, images) = totals.ReadAndReset();
        Assert.Equal((1, 2, 3), (correct, top5, images));
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
            Assert.Throws<ArgumentException>(() => Backend.SoftmaxCrossEntropy(scores, [0.5f]));
            Assert.Throws<ArgumentException>(() => Backend.SoftmaxCrossEntropy(scores, [0f, 0]));
            Assert.Throws<ArgumentOutOfRangeException>(() => Backend.SoftmaxCrossEntropy(scores, [-0.5f, 1]));
            Assert.Throws<ArgumentOutOfRangeException>(() => Backend.SoftmaxCrossEntropy(scores, [float.NaN, 1]));
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
        using var model = new LinearModel(Backend);
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

        public Optimizer Optimizer(OptimizerOptions? options = null, float? clipNorm = null) =>
            backend.CreateOptimizer([new ParameterGroup([("kernel", Kernel), ("weight", Weight), ("bias", Bias)], 0.01f)], options ?? new SgdOptions(), clipNorm);

        /// <summary>Leaves gradients, of the kernel only if the linear layer is left out.</summary>
        public void Step(int seed, bool withLinear = true, bool accumulate = false)
        {
            using var step = backend.BeginStep(training: true);
            var input = Draw(100 + seed, 5, 2, 6, 7);
            var map = backend.Conv2d(backend.CreateInput([.. input.Shape], input.Values), Kernel, null, 1, 1, 1);
            if (withLinear)
                backend.Backward(backend.SoftmaxCrossEntropy(backend.Linear(backend.GlobalAveragePool(map), Weight, Bias), [0, 1, 2, 3, 0], 0), accumulate);
            else
                backend.BackwardFrom(map, Array.ConvertAll(Draw(200 + seed, [.. map.Shape]).Values, value => 0.01f * value), accumulate);
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
