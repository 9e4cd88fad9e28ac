using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;
using Xunit;

namespace RepVgg.Tests.Training;

/// <summary>Accumulated gradients, and the learning rates of layers and of batch sizes.</summary>
public class OptimizationTests
{
    private static readonly InMemorySamples _train = SyntheticTask.Samples(80, 1), _validation = SyntheticTask.Samples(40, 2);

    private static readonly TrainingOptions _options = new()
    {
        Epochs = 3,
        BatchSize = 16,
        LearningRate = 0.1f,
        LearningRateScheduler = new() { WarmUpEpochs = 0.5 },
        LabelSmoothing = 0.1f,
        Seed = 5,
    };

    private static readonly float[] _weights = [0.5f, 3, 1, 0.1f];

    private static TrainingResult Train(TrainingOptions options, bool freezeBatchNorm = true, ISampleSource? train = null, ulong seed = 3, int threads = 2)
    {
        using var backend = new CpuBackend(threads);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, seed, freezeBatchNorm: freezeBatchNorm);
        return TrainingLoop.Run(backend, network, train ?? _train, _validation, SyntheticTask.Normalization, options);
    }

    private static float[] Difference(StateDict left, StateDict right, string name) => [.. left[name].Values.Zip(right[name].Values, (a, b) => a - b)];

    /// <summary>What is counted in optimizer steps, or once for each of them, with batch norms that do not depend on the batch.</summary>
    [Theory]
    [InlineData(2, "plain")]
    [InlineData(4, "clipped")]
    [InlineData(2, "custom L2")]
    [InlineData(4, "average")]
    [InlineData(2, "AdamW")]
    [InlineData(2, "weighted")]
    public void Accumulated_gradients_are_those_of_one_large_batch(int accumulated, string variant)
    {
        var options = variant switch
        {
            "clipped" => _options with { GradientClipNorm = 0.3f },
            "custom L2" => _options with { CustomL2 = true, WeightDecay = 0.05f },
            "average" => _options with { EmaDecay = 0.7f },
            "AdamW" => _options with { Optimizer = new AdamWOptions(Epsilon: 1e-3f), LearningRate = 0.01f },
            "weighted" => _options with { ClassWeights = _weights },
            _ => _options,
        };
        var train = SyntheticTask.Samples(64, 1);
        var expected = Train(options with { BatchSize = 16 * accumulated }, train: train);
        var actual = Train(options with { GradientAccumulationSteps = accumulated }, train: train);
        foreach (var (name, tensor) in expected.Weights)
            Compare.Close(tensor.Values, actual.Weights[name].Values, 2e-5, name);
        Assert.True(Compare.RelativeError(Train(options, train: train).Weights["linear.weight"].Values, actual.Weights["linear.weight"].Values) > 1e-3);
    }

    /// <summary>Of 80 images, the last step of an epoch has one batch. Of 72, the five batches have 14, 14, 15, 14 and 15 images.</summary>
    [Theory]
    [InlineData(80, 2, new[] { 32, 32, 16 })]
    [InlineData(72, 3, new[] { 43, 29 })]
    public void The_images_of_a_step_count_by_their_weights_alone_whatever_the_sizes_of_its_batches(int images, int accumulated, int[] sizes)
    {
        var train = SyntheticTask.Samples(images, 1);
        var options = _options with { Epochs = 1, LearningRateScheduler = new() { Shape = ScheduleShape.Constant }, ClassWeights = _weights };
        var actual = Train(options with { GradientAccumulationSteps = accumulated }, train: train).Weights;
        foreach (var (name, tensor) in Steps(options, train, sizes))
            Compare.Close(tensor.Values, actual[name].Values, 2e-5, name);
    }

    /// <summary>An epoch of steps of the given numbers of images, in the order of the loader, written with the operations of the backend.</summary>
    private static StateDict Steps(TrainingOptions options, InMemorySamples train, int[] sizes)
    {
        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3, freezeBatchNorm: true);
        using var optimizer = backend.CreateOptimizer(network.ParameterGroups(options.ActualWeightDecay), options.Optimizer);
        var augmenter = new ImageAugmenter(Augmentation.None, SyntheticTask.Normalization, 1, SyntheticTask.Size, SyntheticTask.Size);
        using var loader = BatchLoader.Training(train, augmenter, train.Count, options.Seed, epoch: 1, targets: TrainingTargets.Of(options, 1, train));
        var all = loader.Next()!;
        int length = all.Images.Length / all.Count, first = 0;
        foreach (int size in sizes)
        {
            using (backend.BeginStep(training: true))
            {
                var logits = network.Forward(backend.CreateInput([size, 1, SyntheticTask.Size, SyntheticTask.Size], all.Images.Slice(first * length, size * length)));
                backend.Backward(backend.SoftmaxCrossEntropy(logits, all.Targets.Slice(first * SyntheticTask.Classes, size * SyntheticTask.Classes)));
            }
            optimizer.Step(options.ActualLearningRate);
            first += size;
        }
        return network.ExportState();
    }

    [Fact]
    public void Batch_norms_have_the_statistics_of_each_batch()
    {
        var options = _options with { Epochs = 1, LearningRate = 1e-20f, WeightDecay = 0, GradientAccumulationSteps = 2 };
        var separate = Train(options with { GradientAccumulationSteps = 1 }, freezeBatchNorm: false).Weights;
        var accumulated = Train(options, freezeBatchNorm: false).Weights;
        // The weights do not change, so the running statistics tell the batches that updated them.
        Assert.Equal(separate["stage0.rbr_dense.bn.running_mean"].Values, accumulated["stage0.rbr_dense.bn.running_mean"].Values);
        Assert.NotEqual(Train(options with { BatchSize = 32, GradientAccumulationSteps = 1 }, freezeBatchNorm: false).Weights["stage0.rbr_dense.bn.running_mean"].Values, accumulated["stage0.rbr_dense.bn.running_mean"].Values);
    }

    [Fact]
    public void The_seed_decides_accumulated_gradients_for_any_number_of_threads_and_after_a_cut()
    {
        using var folder = new TemporaryFolder();
        var plain = _options with
        {
            GradientAccumulationSteps = 3, EmaDecay = 0.5f, Dropout = 0.2f, StochasticDepth = 0.2f, GradientClipNorm = 0.5f, Optimizer = new AdamWOptions(), LearningRate = 0.01f,
            LayerLearningRateDecay = 0.7f, LearningRateBaseSize = 40,
        };
        var whole = Train(plain, freezeBatchNorm: false, threads: 1);
        TrainingLoopTests.SameBits(whole.Weights, Train(plain, freezeBatchNorm: false, threads: 3).Weights);

        var options = plain with { CheckpointPath = folder.File("run.checkpoint") };
        using var source = new CancellationTokenSource();
        // In the second batch of the first step.
        SyntheticTask.Train(_train, _validation, options, progress =>
        {
            if (progress is { Epoch: 2, Step: 2 })
                source.Cancel();
        }, source.Token);
        foreach (var (name, other) in new (string, TrainingOptions)[]
        {
            ("GradientAccumulationSteps was 3 and is 2", options with { GradientAccumulationSteps = 2 }),
            ("LayerLearningRateDecay was 0.7 and is 1", options with { LayerLearningRateDecay = 1 }),
            ("LearningRateBaseSize was 40 and is 48", options with { LearningRateBaseSize = 48 }),
            ("Power was 1 and is 2", options with { LearningRateScheduler = options.LearningRateScheduler with { Power = 2 } }),
        })
            Assert.Contains(name, Assert.Throws<InvalidOperationException>(() => Train(other, freezeBatchNorm: false)).Message);
        var resumed = Train(options, freezeBatchNorm: false, seed: 99);
        Assert.Equal(1, resumed.ResumedAfterEpoch);
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
        // Of five batches, three and two make a step.
        Assert.Equal([6f], CheckpointFile.Read(options.CheckpointPath!).Tensors["optimizer/step/linear.weight"].Values);
    }

    [Fact]
    public void Schedules_count_optimizer_steps()
    {
        var options = _options with { GradientAccumulationSteps = 2, LearningRateScheduler = new() { Shape = ScheduleShape.Polynomial } };
        // Three steps in each of three epochs: the last ones of the epochs are the steps 2, 5 and 8 of 9.
        Assert.Equal([0.1f * 7 / 9, 0.1f * 4 / 9, 0.1f * 1 / 9], Train(options).History.Select(epoch => epoch.LearningRate), (expected, actual) => Math.Abs(expected - actual) < 1e-7);
    }

    [Theory]
    [InlineData(6, "GradientAccumulationSteps is 6, but an epoch has 5 batches: 80 images, 16 per batch. Set it to 5 or less")]
    [InlineData(2000000000, "GradientAccumulationSteps is 2000000000, but an epoch has 5 batches")]
    [InlineData(0, "GradientAccumulationSteps is 0; it must be 1 or more")]
    [InlineData(-1, "GradientAccumulationSteps is -1; it must be 1 or more")]
    public void A_number_of_batches_that_cannot_make_a_step_is_refused(int accumulated, string expected) =>
        Assert.StartsWith(expected, Assert.ThrowsAny<ArgumentException>(() => Train(_options with { GradientAccumulationSteps = accumulated })).Message, StringComparison.Ordinal);

    [Fact]
    public void Weights_of_classes_that_are_no_weights_are_refused()
    {
        Assert.StartsWith("ClassWeights has 3 weights, but there are 4 classes.", Refusal([1, 1, 1]), StringComparison.Ordinal);
        foreach (float weight in new[] { 0, -1, float.NaN, float.PositiveInfinity })
            Assert.StartsWith(FormattableString.Invariant($"The weight of the class '2' is {weight}; it must be a finite number of more than 0."), Refusal([1, 1, weight, 1]), StringComparison.Ordinal);

        static string Refusal(float[] weights) => Assert.Throws<ArgumentException>(() => Train(_options with { ClassWeights = weights })).Message;
    }

    [Theory]
    [InlineData(0.5f, 1f, 0)]
    [InlineData(0.75f, 4f, 0)]
    [InlineData(0.5f, 1f, 1)]
    public void The_learning_rate_decays_from_the_last_block_to_the_stem(float decay, float headScale, int frozenStages)
    {
        // One step, so large that the rounding of the weights does not matter.
        var options = _options with { Epochs = 1, BatchSize = 80, LearningRate = 100, WeightDecay = 0, LearningRateScheduler = new() { Shape = ScheduleShape.Constant } };
        var initial = Initialization.Draw(SyntheticTask.Architecture, SyntheticTask.Classes, 3);
        var plain = OneStep(options);
        var decayed = OneStep(options with { LayerLearningRateDecay = decay, HeadLearningRateScale = headScale });
        (string Prefix, double Factor)[] expected =
            [("linear.", headScale), ("stage2.0.", decay), ("stage1.1.", Math.Pow(decay, 2)), ("stage1.0.", Math.Pow(decay, 3)), ("stage0.", Math.Pow(decay, 4))];
        int compared = 0;
        foreach (string name in initial.Names.Where(name => !name.Contains("running", StringComparison.Ordinal)))
        {
            double factor = expected.Single(item => name.StartsWith(item.Prefix, StringComparison.Ordinal)).Factor;
            float[] usual = Difference(plain, initial, name);
            Compare.Close([.. usual.Select(value => (float)(factor * value))], Difference(decayed, initial, name), 1e-4, name);
            compared += usual.Any(value => value != 0) ? 1 : 0;
        }
        Assert.True(compared > 20);

        StateDict OneStep(TrainingOptions options)
        {
            using var backend = new CpuBackend(2);
            using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3, frozenStages);
            return TrainingLoop.Run(backend, network, _train, null, SyntheticTask.Normalization, options with { Epochs = 1 }).Weights;
        }
    }

    [Fact]
    public void Auxiliary_heads_keep_the_learning_rate()
    {
        var plus = GoldenNetworks.All["tinyplus-pse"];
        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(plus, 10, backend, seed: 1);
        var groups = network.ParameterGroups(0.5f, headLearningRateScale: 3, layerDecay: 0.5f);
        Assert.Equal(network.Parameters.Select(parameter => parameter.Name).Order(), groups.SelectMany(group => group.Parameters).Select(parameter => parameter.Name).Order());
        string[] heads = [.. network.Parameters.Select(parameter => parameter.Name).Where(name => name.Contains("_aux.", StringComparison.Ordinal))];
        Assert.NotEmpty(heads);
        Assert.All(heads, name => Assert.Contains(Scale(name), new float[] { 1, 3 }));
        Assert.Equal(0.5f, Scale($"{plus.Blocks.Last().Name}.rbr_dense.conv.weight"));
        Assert.Equal(MathF.Pow(0.5f, plus.Blocks.Count()), Scale($"{plus.Blocks.First().Name}.rbr_dense.conv.weight"));

        float Scale(string name) => groups.Single(group => group.Parameters.Any(parameter => parameter.Name == name)).LearningRateScale;
    }

    [Theory]
    [InlineData(0.1f, 64, 1, 256, 0.025f)]
    [InlineData(0.1f, 64, 8, 256, 0.2f)]
    [InlineData(null, 512, 1, 256, 0.2f)]
    [InlineData(0.3f, 48, 2, 96, 0.3f)]
    public void The_learning_rate_is_scaled_to_the_images_of_a_step(float? rate, int batchSize, int accumulated, int baseSize, float expected) =>
        Assert.Equal(expected, new TrainingOptions { LearningRate = rate, BatchSize = batchSize, GradientAccumulationSteps = accumulated, LearningRateBaseSize = baseSize }.ActualLearningRate, 1e-7f);

    [Fact]
    public void A_scaled_learning_rate_trains_as_the_rate_itself() =>
        TrainingLoopTests.SameBits(Train(_options).Weights, Train(_options with { LearningRate = 0.4f, LearningRateBaseSize = 64 }).Weights);
}
