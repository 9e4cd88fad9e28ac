using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Tests.Training;
using RepVgg.Training;
using RepVgg.Training.Data;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;
using Xunit;

namespace RepVgg.Tests.Optimizers;

/// <summary>RepOptimizer trains a plain network as the network of branches is trained.</summary>
public sealed class RepOptimizerTests
{
    private static readonly RepVggArchitecture _plain = SyntheticTask.Architecture with { TrainingForm = TrainingForm.Plain };
    private static readonly RepVggArchitecture _branches = SyntheticTask.Architecture with { TrainingForm = TrainingForm.Csla };
    private static readonly InMemorySamples _train = SyntheticTask.Samples(200, 1), _validation = SyntheticTask.Samples(50, 2);

    private static readonly SgdOptions _nesterov = new(0.9f, Nesterov: true);

    /// <summary>Scales between 0.2 and 1.7, of which a third can be negative.</summary>
    private static RepOptimizerScales RandomScales(RepVggArchitecture architecture, int seed, bool mixedSigns = false)
    {
        var random = new Random(seed);
        var state = RepOptimizerScales.Initial(architecture).ToState();
        foreach (var (_, tensor) in state)
        {
            foreach (ref float value in tensor.Values.AsSpan())
                value = (0.2f + 1.5f * random.NextSingle()) * (mixedSigns && random.Next(3) == 0 ? -1 : 1);
        }
        return RepOptimizerScales.FromState(state);
    }

    private static TrainingOptions Options(RepOptimizerScales scales, OptimizerOptions? optimizer = null, string? checkpoint = null) => SyntheticTask.Options with
    {
        Epochs = 5,
        Optimizer = new RepOptimizerOptions { Scales = scales, Base = optimizer ?? _nesterov },
        LearningRate = optimizer is AdamWOptions ? 0.01f : 0.1f,
        CheckpointPath = checkpoint,
    };

    private static void Cancel(TrainingOptions options, int epoch, int step)
    {
        using var source = new CancellationTokenSource();
        var result = SyntheticTask.Train(_train, _validation, options, progress =>
        {
            if (progress.Epoch == epoch && progress.Step == step && !progress.IsValidation)
                source.Cancel();
        }, source.Token, architecture: _plain);
        Assert.Equal(StopReason.Cancelled, result.StopReason);
    }

    [Theory]
    [InlineData(false, "masks-sgd")]
    [InlineData(true, "masks-adamw")]
    public void Multipliers_are_the_authors_masks(bool adamW, string file)
    {
        var options = new RepOptimizerOptions { Scales = RepOptGolden.Scales, Base = adamW ? new AdamWOptions() : _nesterov };
        var multipliers = options.Multipliers(RepOptGolden.Architecture);
        var masks = RepOptGolden.State(file);
        Assert.Equal(masks.Names.Order(), multipliers.Keys.Order());
        foreach (var (name, mask) in masks)
        {
            Assert.Equal(mask.Shape, multipliers[name].Shape);
            Compare.Close(mask.Values, multipliers[name].Values, 1e-6, name);
        }
        // Neither the sum of the branches nor the identity scales have an influence.
        var unit = options with { UseIdentityScales = false };
        Assert.All(unit.Multipliers(RepOptGolden.Architecture), pair => Assert.Equal(multipliers[pair.Key].Values, pair.Value.Values));
    }

    [Theory]
    [InlineData(true, "plain-initial")]
    [InlineData(false, "plain-initial-unit-identity")]
    public void Initial_kernels_are_the_authors(bool useIdentityScales, string file)
    {
        var actual = RepOptRun.Plain(RepOptGolden.Architecture, RepOptGolden.State("csla-initial"), useIdentityScales);
        foreach (var (name, expected) in RepOptGolden.State(file))
            Compare.Close(expected.Values, actual[name].Values, 1e-6, name);
    }

    [Theory]
    [InlineData("nesterov", 1e-6)]
    [InlineData("momentum", 1e-6)]
    [InlineData("adamw", 1e-4)]
    public void The_golden_network_stays_equal_to_its_branches_step_by_step(string trace, double tolerance)
    {
        using var backend = new CpuBackend(2);
        using var branches = RepOptGolden.Start(backend, trace, TrainingForm.Csla);
        using var plain = RepOptGolden.Start(backend, trace, TrainingForm.Plain);
        foreach (var (images, labels) in RepOptGolden.Batches())
        {
            Compare.Close([branches.Step(images, labels, RepOptGolden.Size)], [plain.Step(images, labels, RepOptGolden.Size)], tolerance, "loss");
            var (expected, actual) = (RepOptRun.Plain(RepOptGolden.Architecture, branches.Weights()), plain.Weights());
            foreach (var (name, tensor) in expected)
            {
                // A bias is 0 at first and is added to normalised values, so its difference is compared with 1.
                if (name.EndsWith(".bias", StringComparison.Ordinal))
                    Assert.All(tensor.Values.Zip(actual[name].Values), pair => Assert.Equal(pair.First, pair.Second, tolerance));
                else
                    Compare.Close(tensor.Values, actual[name].Values, tolerance, name);
            }
        }
    }

    /// <summary>Random networks: groups, other strides, scales of any sign, of which one is 0; with momentum and weight decay.</summary>
    [Theory]
    [InlineData("SGD", 1, 0f, 5e-6)]
    [InlineData("momentum", 2, 0.02f, 5e-6)]
    [InlineData("Nesterov", 4, 0.02f, 5e-6)]
    [InlineData("AdamW", 1, 0.05f, 1e-4)]
    [InlineData("AdamW", 2, 0.05f, 1e-4)]
    public void Scales_of_any_sign_and_groups_keep_the_networks_equal(string optimizer, int groups, float weightDecay, double tolerance)
    {
        var architecture = _plain with { Groups = groups };
        var state = RandomScales(architecture, 4, mixedSigns: true).ToState();
        state["stage1.0.scale_conv.weight"].Values[2] = 0;
        var scales = RepOptimizerScales.FromState(state);
        OptimizerOptions options = optimizer switch { "SGD" => new SgdOptions(0), "momentum" => new SgdOptions(), "Nesterov" => _nesterov, _ => new AdamWOptions() };
        float rate = optimizer == "AdamW" ? 0.004f : 0.05f;
        using var backend = new CpuBackend(2);
        using var network = new TrainingNetwork(architecture with { TrainingForm = TrainingForm.Csla }, SyntheticTask.Classes, backend, seed: 8, scales: scales);
        var initial = network.ExportState();
        var repOptimizer = new RepOptimizerOptions { Scales = scales, Base = options };
        using var branches = new RepOptRun(backend, network.Architecture, initial, options, rate, weightDecay);
        using var plain = new RepOptRun(backend, architecture, RepOptRun.Plain(architecture, initial), repOptimizer, rate, weightDecay);
        // What the authors' code does: the sum of the scales with their signs, which is wrong for AdamW.
        using var signed = optimizer == "AdamW" ? new RepOptRun(backend, architecture, RepOptRun.Plain(architecture, initial), repOptimizer, rate, weightDecay, multipliers: Signed(scales, architecture)) : null;
        for (int step = 0; step < 4; step++)
        {
            var samples = SyntheticTask.Samples(16, 20 + step);
            float[] pixels = new float[16 * SyntheticTask.Size * SyntheticTask.Size];
            for (int i = 0; i < 16; i++)
                samples.Read(i, pixels.AsSpan(i * SyntheticTask.Size * SyntheticTask.Size, SyntheticTask.Size * SyntheticTask.Size));
            pixels = Array.ConvertAll(pixels, pixel => (pixel - 128) / 64);
            int[] labels = [.. Enumerable.Range(0, 16).Select(samples.LabelOf)];
            branches.Step(pixels, labels, SyntheticTask.Size);
            plain.Step(pixels, labels, SyntheticTask.Size);
            signed?.Step(pixels, labels, SyntheticTask.Size);
            double difference = RepOptRun.Difference(RepOptRun.Plain(architecture, branches.Weights()), plain.Weights());
            Assert.True(difference <= tolerance, $"Step {step}: {difference:g3}");
        }
        Assert.All(initial.Names.Where(name => name.EndsWith("scale_conv.weight", StringComparison.Ordinal)), name => Assert.Equal(initial[name].Values, branches.Weights()[name].Values));
        Assert.NotEqual(initial["stage1.0.scale_identity.weight"].Values, branches.Weights()["stage1.0.scale_identity.weight"].Values);
        if (signed is not null)
            Assert.InRange(RepOptRun.Difference(plain.Weights(), signed.Weights()), 0.01, double.PositiveInfinity);
    }

    /// <summary>The absolute value of the sum of the scales with their signs, in place of the sum of the absolute values.</summary>
    private static Dictionary<string, TensorData> Signed(RepOptimizerScales scales, RepVggArchitecture architecture)
    {
        var multipliers = new RepOptimizerOptions { Scales = scales, Base = new AdamWOptions() }.Multipliers(architecture).ToDictionary();
        foreach (var block in architecture.Blocks)
        {
            var tensor = multipliers[$"{block.Name}.conv.weight"];
            int inputs = tensor.Shape[1];
            for (int channel = 0; channel < block.OutputChannels; channel++)
            {
                float sum = scales.Convolution(block)[channel] + scales.Pointwise(block)[channel];
                for (int input = 0; input < inputs; input++)
                    tensor.Values[(channel * inputs + input) * 9 + 4] = Math.Abs(sum + (block.HasIdentity && input == channel % inputs ? 1 : 0));
            }
        }
        return multipliers;
    }

    /// <summary>Through the training loop, from the same seed: the initial kernels, the schedule, the moving average and the validation.</summary>
    [Fact]
    public void A_run_is_that_of_the_branches_with_the_same_seed()
    {
        var scales = RandomScales(_plain, 1);
        var options = Options(scales) with { Epochs = 1, EmaDecay = 0.9f };
        var branches = SyntheticTask.Train(_train, _validation, options with { Optimizer = _nesterov }, architecture: _branches, scales: scales);
        var plain = SyntheticTask.Train(_train, _validation, options, architecture: _plain);
        Assert.Equal(branches.History[0].TrainingLoss, plain.History[0].TrainingLoss, 1e-5);
        Assert.Equal(branches.History[0].ValidationLoss!.Value, plain.History[0].ValidationLoss!.Value, 1e-4);
        Assert.InRange(RepOptRun.Difference(RepOptRun.Plain(_plain, branches.Weights), plain.Weights), 0, 1e-4);
        var ordinary = SyntheticTask.Train(_train, _validation, options with { Optimizer = _nesterov }, architecture: _plain);
        Assert.InRange(RepOptRun.Difference(ordinary.Weights, plain.Weights), 0.05, double.PositiveInfinity);
    }

    [Theory]
    [InlineData(false, 0f)]
    [InlineData(false, 0.9f)]
    [InlineData(true, 0f)]
    public void A_cut_run_ends_with_the_same_bits(bool adamW, float emaDecay)
    {
        using var folder = new TemporaryFolder();
        var scales = RandomScales(_plain, 1, mixedSigns: true);
        OptimizerOptions optimizer = adamW ? new AdamWOptions() : _nesterov;
        var plain = Options(scales, optimizer) with { EmaDecay = emaDecay };
        var whole = SyntheticTask.Train(_train, _validation, plain, architecture: _plain);
        // The same scales from a file: the run is the same.
        string path = folder.File("scales.safetensors");
        scales.Save(path);
        var options = plain with { CheckpointPath = folder.File("run.checkpoint"), Optimizer = new RepOptimizerOptions { ScalesPath = path, Base = optimizer } };
        Cancel(options, 4, 3);
        var resumed = SyntheticTask.Train(_train, _validation, plain with { CheckpointPath = options.CheckpointPath }, threads: 1, networkSeed: 99, architecture: _plain);
        Assert.Equal(3, resumed.ResumedAfterEpoch);
        Assert.Equal(SyntheticTask.WithoutTimes(whole.History), SyntheticTask.WithoutTimes(resumed.History));
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
        var (_, tensors) = CheckpointFile.Read(options.CheckpointPath!);
        foreach (var (name, multiplier) in new RepOptimizerOptions { Scales = scales, Base = optimizer }.Multipliers(_plain))
            Assert.Equal(multiplier.Values, tensors[$"optimizer/multiplier/{name}"].Values);
    }

    [Fact]
    public void A_checkpoint_of_other_scales_is_refused()
    {
        using var folder = new TemporaryFolder();
        var options = Options(RandomScales(_plain, 1), checkpoint: folder.File("run.checkpoint")) with { Epochs = 1 };
        SyntheticTask.Train(_train, null, options, architecture: _plain);
        var state = RandomScales(_plain, 1).ToState();
        state["stage2.scale_conv.weight".Replace("stage2.", "stage2.0.", StringComparison.Ordinal)].Values[3] += 1e-6f;
        var repOptimizer = (RepOptimizerOptions)options.Optimizer;
        foreach (var (changed, what) in (ReadOnlySpan<(OptimizerOptions, string)>)
        [
            (repOptimizer with { Scales = RepOptimizerScales.FromState(state) }, "Optimizer.Scales was"),
            (repOptimizer with { UseIdentityScales = false }, "Optimizer.UseIdentityScales was true and is false"),
            (repOptimizer with { Base = new SgdOptions() }, "Optimizer.Base.Nesterov was true and is false"),
            (_nesterov, "Optimizer was"),
        ])
        {
            string error = Assert.Throws<InvalidOperationException>(() => SyntheticTask.Train(_train, null, options with { Optimizer = changed }, architecture: _plain)).Message;
            Assert.Contains(what, error);
        }
        // The network of branches has its scales in the description of the network.
        var branches = options with { Optimizer = _nesterov, CheckpointPath = folder.File("branches.checkpoint") };
        SyntheticTask.Train(_train, null, branches, architecture: _branches, scales: repOptimizer.Scales);
        Assert.Contains("Scales was", Assert.Throws<InvalidOperationException>(
            () => SyntheticTask.Train(_train, null, branches, architecture: _branches, scales: RepOptimizerScales.FromState(state))).Message);
    }

    public static TheoryData<TrainingForm> FormsWithBranches => [.. TrainingForms.All.Where(form => form != TrainingForm.Plain)];

    [Theory]
    [MemberData(nameof(FormsWithBranches))]
    public void A_form_with_branches_is_refused(TrainingForm form)
    {
        var architecture = SyntheticTask.Architecture with { TrainingForm = form };
        string error = Assert.Throws<ArgumentException>(() => SyntheticTask.Train(_train, null, Options(RandomScales(_plain, 1)), architecture: architecture)).Message;
        Assert.Contains($"in the training form {form}", error);
        Assert.Contains("is defined for blocks of one convolution, the form Plain, only", error);
    }

    [Fact]
    public void Options_that_contradict_each_other_are_refused()
    {
        var scales = RandomScales(_plain, 1);
        var options = Options(scales);
        var repOptimizer = (RepOptimizerOptions)options.Optimizer;
        foreach (var (changed, what) in (ReadOnlySpan<(TrainingOptions, string)>)
        [
            (options with { Optimizer = new RepOptimizerOptions() }, "neither Scales nor ScalesPath"),
            (options with { Optimizer = repOptimizer with { ScalesPath = "scales.pth" } }, "both Scales and ScalesPath"),
            (options with { Optimizer = new RepOptimizerOptions { ScalesPath = " " } }, "ScalesPath is empty"),
            (options with { Optimizer = repOptimizer with { Base = repOptimizer } }, "must be SgdOptions or AdamWOptions"),
            (options with { Optimizer = repOptimizer with { Base = null! } }, "must be SgdOptions or AdamWOptions"),
            (options with { Optimizer = repOptimizer with { Base = new SgdOptions(2) } }, "Momentum is 2"),
            (options with { GradientClipNorm = 5 }, "GradientClipNorm is 5, but RepOptimizer cannot be used with it"),
            (options with { Optimizer = repOptimizer with { Scales = RepOptimizerScales.Initial(RepVggVariants.S1) } }, "do not fit tiny"),
        ])
        {
            Assert.Contains(what, Assert.Throws<ArgumentException>(() => SyntheticTask.Train(_train, null, changed, architecture: _plain)).Message);
        }
        Assert.Throws<FileNotFoundException>(() => SyntheticTask.Train(_train, null, options with { Optimizer = new RepOptimizerOptions { ScalesPath = "missing.pth" } }, architecture: _plain));
        Assert.Contains("has no scaled branches", Assert.Throws<ArgumentException>(() => SyntheticTask.Train(_train, null, SyntheticTask.Options, architecture: _plain, scales: scales)).Message);
        Assert.Contains("do not fit tiny", Assert.Throws<ArgumentException>(() => SyntheticTask.Train(_train, null, SyntheticTask.Options, architecture: _branches, scales: RepOptimizerScales.Initial(RepVggVariants.S1))).Message);
    }

    /// <summary>A small learning rate and one step: the kernels are still near the pretrained ones, not near sums of branches.</summary>
    [Fact]
    public void Pretrained_weights_are_not_initialised_again()
    {
        var scales = RandomScales(_plain, 1);
        using var backend = new CpuBackend(2);
        using var network = new TrainingNetwork(_plain, SyntheticTask.Classes, backend, seed: 3);
        var pretrained = RandomStates.Training(_plain, SyntheticTask.Classes);
        network.ImportPretrained(pretrained);
        var options = Options(scales) with { Epochs = 1, BatchSize = 200, LearningRate = 1e-6f };
        var result = TrainingLoop.Run(backend, network, _train, null, SyntheticTask.Normalization, options);
        foreach (var (name, tensor) in result.Weights.Where(pair => pair.Key.EndsWith("conv.weight", StringComparison.Ordinal)))
        {
            Compare.Close(pretrained[name].Values, tensor.Values, 1e-3, name);
            Assert.NotEqual(pretrained[name].Values, tensor.Values);
        }
    }
}
