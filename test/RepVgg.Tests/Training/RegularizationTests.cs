using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Tests.Training;

/// <summary>Dropout, stochastic depth, custom L2, the head's learning rate and auxiliary losses.</summary>
public class RegularizationTests
{
    private static readonly InMemorySamples _train = SyntheticTask.Samples(64, 1), _validation = SyntheticTask.Samples(40, 2);

    /// <summary>One step over the whole set.</summary>
    private static readonly TrainingOptions _oneStep = new() { Epochs = 1, BatchSize = 64, LearningRate = 0.1f, Optimizer = new SgdOptions(Momentum: 0), WeightDecay = 0, LearningRateScheduler = new() { Shape = ScheduleShape.Constant } };

    private static readonly TrainingOptions _regularized = SyntheticTask.Options with { Epochs = 3, BatchSize = 16, Dropout = 0.3f, StochasticDepth = 0.4f, CustomL2 = true, HeadLearningRateScale = 2 };

    private static StateDict OneStep(TrainingOptions options, RepVggArchitecture? architecture = null)
    {
        using var backend = new CpuBackend(2);
        using var network = new TrainingNetwork(architecture ?? SyntheticTask.Architecture, SyntheticTask.Classes, backend, seed: 3);
        return TrainingLoop.Run(backend, network, _train, null, SyntheticTask.Normalization, options).Weights;
    }

    private static StateDict Initial(RepVggArchitecture? architecture = null) => Initialization.Draw(architecture ?? SyntheticTask.Architecture, SyntheticTask.Classes, 3);

    private static float[] Difference(StateDict left, StateDict right, string name) => [.. left[name].Values.Zip(right[name].Values, (a, b) => a - b)];

    [Fact]
    public void The_seed_decides_everything_for_any_number_of_threads()
    {
        var one = SyntheticTask.Train(_train, _validation, _regularized, threads: 1);
        var two = SyntheticTask.Train(_train, _validation, _regularized, threads: 2);
        TrainingLoopTests.SameBits(one.Weights, two.Weights);
        Assert.Equal(SyntheticTask.WithoutTimes(one.History), SyntheticTask.WithoutTimes(two.History));
        foreach (var other in (TrainingOptions[])[_regularized with { Dropout = 0 }, _regularized with { StochasticDepth = 0 }, _regularized with { CustomL2 = false }, _regularized with { HeadLearningRateScale = 1 }])
            Assert.NotEqual(one.Weights["linear.weight"].Values, SyntheticTask.Train(_train, _validation, other).Weights["linear.weight"].Values);
    }

    [Fact]
    public void A_cut_run_ends_with_the_same_bits_and_other_options_are_refused()
    {
        using var folder = new TemporaryFolder();
        var whole = SyntheticTask.Train(_train, _validation, _regularized);
        var options = _regularized with { CheckpointPath = folder.File("run.checkpoint") };
        using var source = new CancellationTokenSource();
        SyntheticTask.Train(_train, _validation, options, progress =>
        {
            if (progress is { Epoch: 2, Step: 2 })
                source.Cancel();
        }, source.Token);
        foreach (var (name, other) in new (string, TrainingOptions)[]
        {
            ("Dropout was 0.3 and is 0.2", options with { Dropout = 0.2f }),
            ("StochasticDepth was 0.4 and is 0", options with { StochasticDepth = 0 }),
            ("CustomL2 was true and is false", options with { CustomL2 = false }),
            ("HeadLearningRateScale was 2 and is 1", options with { HeadLearningRateScale = 1 }),
        })
            Assert.Contains(name, Assert.Throws<InvalidOperationException>(() => SyntheticTask.Train(_train, _validation, other)).Message);
        var resumed = SyntheticTask.Train(_train, _validation, options, networkSeed: 99);
        Assert.Equal(1, resumed.ResumedAfterEpoch);
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
    }

    [Theory]
    [InlineData(0.25f)]
    [InlineData(0.8f)]
    public void Dropout_drops_its_share_and_keeps_the_mean(float rate)
    {
        float[] factors = Factors(step: 3, drops => map => drops.DropChannels(map, 0), rate, 0);
        Assert.Equal(rate, factors.Count(value => value == 0) / (double)factors.Length, 5 * Math.Sqrt(rate * (1 - rate) / factors.Length));
        Assert.All(factors.Where(value => value != 0), value => Assert.Equal(1 / (1 - rate), value, 1e-6));
        Assert.Equal(factors, Factors(step: 3, drops => map => drops.DropChannels(map, 0), rate, 0));
        Assert.NotEqual(factors, Factors(step: 4, drops => map => drops.DropChannels(map, 0), rate, 0));
        // No image's draw depends on the batch that it is in.
        Assert.Equal(factors.Take(10 * 40), Factors(step: 3, drops => map => drops.DropChannels(map, 0), rate, 0, images: 10));
        // Another head of the network draws other numbers.
        Assert.NotEqual(factors, Factors(step: 3, drops => map => drops.DropChannels(map, 1), rate, 0));
        // Images differ.
        Assert.NotEqual(factors.Take(40), factors.Skip(40).Take(40));
    }

    [Fact]
    public void Stochastic_depth_drops_whole_images_more_often_in_later_blocks()
    {
        var drops = new RandomDrops(null!, 1, 0, 0, 0.5f);
        Assert.Equal([0, 0.125, 0.25, 0.375, 0.5], Enumerable.Range(0, 5).Select(block => drops.PathRate(block, 5)));
        foreach (var (block, rate) in ((int, double)[])[(2, 0.25), (4, 0.5)])
        {
            float[] factors = Factors(step: 0, d => map => d.DropPath(map, block, 5), 0, 0.5f, images: 2000);
            float[][] images = [.. factors.Chunk(40)];
            Assert.All(images, image => Assert.All(image, value => Assert.Equal(image[0], value)));
            Assert.Equal(rate, images.Count(image => image[0] == 0) / 2000.0, 5 * Math.Sqrt(rate * (1 - rate) / 2000));
            Assert.All(images.Where(image => image[0] != 0), image => Assert.Equal(1 / (1 - rate), image[0], 1e-6));
        }
    }

    [Theory]
    [InlineData(SqueezeExcitation.None)]
    [InlineData(SqueezeExcitation.BeforeRelu)]
    public void A_dropped_path_leaves_the_identity_branch(SqueezeExcitation excitation)
    {
        var architecture = RandomStates.Reduce(RepVggVariants.A0) with { SqueezeExcitation = excitation };
        using var backend = new CpuBackend();
        using var network = new TrainingNetwork(architecture, 2, backend, seed: 1);
        network.ImportState(RandomStates.Training(architecture, 2));
        var shape = architecture.Blocks.First(block => block.HasIdentity);
        var block = new TrainingBlock(shape, network);
        var images = RandomStates.Images(2, shape.InputChannels, 6, 6);
        using var step = backend.BeginStep(training: false);
        var input = backend.CreateInput([.. images.Shape], images.Values);
        Compare.Close(Read(block.Forward(backend, input)), Read(block.Forward(backend, input, path => path)), 2e-6);
        if (excitation == SqueezeExcitation.None)
            Compare.Close(Read(backend.Relu(backend.BatchNorm(input, network.Norm($"{shape.Name}.rbr_identity")))), Read(block.Forward(backend, input, path => backend.Scale(path, 0))), 2e-6);

        float[] Read(global::RepVgg.Backends.Tensor tensor)
        {
            var values = new float[images.Values.Length];
            backend.CopyOut(tensor, values);
            return values;
        }
    }

    [Fact]
    public void Custom_L2_takes_the_place_of_the_kernels_decay()
    {
        const float Decay = 0.5f;
        var initial = Initial();
        var none = OneStep(_oneStep);
        var ordinary = OneStep(_oneStep with { WeightDecay = Decay });
        var custom = OneStep(_oneStep with { WeightDecay = Decay, CustomL2 = true });
        foreach (var block in SyntheticTask.Architecture.Blocks)
        {
            // The statistics are those after the step's forward pass; the batch norms' weights those before its update, which are 1.
            float[] large = initial[$"{block.Name}.rbr_dense.conv.weight"].Values, small = initial[$"{block.Name}.rbr_1x1.conv.weight"].Values;
            float[] variance3 = none[$"{block.Name}.rbr_dense.bn.running_var"].Values, variance1 = none[$"{block.Name}.rbr_1x1.bn.running_var"].Values;
            float[] expected3 = new float[large.Length], expected1 = new float[small.Length];
            for (int i = 0; i < small.Length; i++)
            {
                int output = i / block.InputChannels;
                double t3 = 1 / Math.Sqrt(variance3[output] + 1e-5), t1 = 1 / Math.Sqrt(variance1[output] + 1e-5);
                double center = (large[i * 9 + 4] * t3 + small[i] * t1) / (t3 * t3 + t1 * t1);
                for (int tap = 0; tap < 9; tap++)
                    expected3[i * 9 + tap] = (float)(-0.1 * Decay * (tap == 4 ? center * t3 : large[i * 9 + tap]));
                expected1[i] = (float)(-0.1 * Decay * center * t1);
            }
            Compare.Close(expected3, Difference(custom, none, $"{block.Name}.rbr_dense.conv.weight"), 2e-5, block.Name);
            Compare.Close(expected1, Difference(custom, none, $"{block.Name}.rbr_1x1.conv.weight"), 2e-5, block.Name);
            if (block.HasIdentity)
                Compare.Close(Difference(ordinary, none, $"{block.Name}.rbr_identity.weight"), Difference(custom, none, $"{block.Name}.rbr_identity.weight"), 1e-5);
        }
        Compare.Close([.. initial["linear.weight"].Values.Select(value => -0.1f * Decay * value)], Difference(custom, none, "linear.weight"), 2e-5);
    }

    [Fact]
    public void The_heads_learning_rate_is_its_own()
    {
        var initial = Initial();
        var one = OneStep(_oneStep);
        var three = OneStep(_oneStep with { HeadLearningRateScale = 3 });
        Compare.Close([.. Difference(one, initial, "linear.weight").Select(value => 3 * value)], Difference(three, initial, "linear.weight"), 1e-5);
        Assert.Equal(one["stage1.0.rbr_dense.conv.weight"].Values, three["stage1.0.rbr_dense.conv.weight"].Values);
        Assert.Equal(initial["linear.bias"].Values, OneStep(_oneStep with { HeadLearningRateScale = 0 })["linear.bias"].Values);
    }

    [Fact]
    public void Auxiliary_losses_count_by_their_weight()
    {
        var plus = GoldenNetworks.All["tinyplus-pse"] with
        {
            InputChannels = 1,
            Stages = [new("stage0", 8, 1, 1), new("stage1", 8, 1, 2, AuxiliaryHead: true), new("stage2", 16, 1, 2)],
        };
        const string Head = "stage1_aux.3.weight";
        // A large step, so that what changes is not lost in the rounding of what stays.
        var large = _oneStep with { LearningRate = 1 };
        var initial = Initial(plus);
        float[] usual = Difference(OneStep(large, plus), initial, Head);
        Assert.Equal(initial[Head].Values, OneStep(large with { AuxiliaryLossWeight = 0 }, plus)[Head].Values);
        Compare.Close([.. usual.Select(value => 10 * value)], Difference(OneStep(large with { AuxiliaryLossWeight = 1 }, plus), initial, Head), 1e-5);
        Assert.Contains(usual, value => value != 0);
    }

    private static float[] Factors(long step, Func<RandomDrops, Func<global::RepVgg.Backends.Tensor, global::RepVgg.Backends.Tensor>> apply, float dropout, float stochasticDepth, int images = 100)
    {
        const int Channels = 40;
        using var backend = new CpuBackend(1);
        using var scope = backend.BeginStep(training: true);
        var ones = new float[images * Channels];
        Array.Fill(ones, 1f);
        backend.CopyOut(apply(new RandomDrops(backend, 9, step, dropout, stochasticDepth))(backend.CreateInput([images, Channels, 1, 1], ones)), ones);
        return ones;
    }
}
