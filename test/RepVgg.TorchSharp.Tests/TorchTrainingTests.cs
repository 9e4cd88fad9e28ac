using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.TorchSharp;
using RepVgg.Training;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.TorchSharp.Tests;

/// <summary>Whole trainings on TorchSharp.</summary>
public class TorchTrainingTests
{
    [TorchSharpTheory]
    [InlineData("tiny", false)]
    [InlineData("tiny-g2", true)]
    [InlineData("tinyplus-pse", false)]
    public void Twenty_steps_follow_the_cpu_backend(string name, bool channelsLast)
    {
        using var cpu = new CpuBackend(2);
        using var torch = TorchBackends.Create(new TorchBackendOptions { Threads = 1, SelfTest = false, ChannelsLast = channelsLast });
        using var expected = new TrainingSteps(cpu, name);
        using var actual = new TrainingSteps(torch, name);
        for (int step = 0; step < 20; step++)
        {
            double loss = expected.Step();
            Assert.InRange(actual.Step(), loss * (1 - 1e-3), loss * (1 + 1e-3));
        }
    }

    [TorchSharpTheory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(true, true)]
    public void The_self_test_passes(bool channelsLast, bool bfloat16)
    {
        using var backend = TorchBackends.Create(new TorchBackendOptions { Threads = 1, ChannelsLast = channelsLast, Bfloat16 = bfloat16 });
        Assert.StartsWith("TorchSharp 0.", backend.Description, StringComparison.Ordinal);
        Assert.EndsWith($"CPU, 1 thread, {(bfloat16 ? "bfloat16" : "float32")}{(channelsLast ? ", channels last" : "")}", backend.Description, StringComparison.Ordinal);
    }

    [TorchSharpTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void Segmentation_follows_the_cpu_backend(bool channelsLast)
    {
        // Dropout has random numbers of its own on each backend.
        var options = SyntheticMasks.Options with { Epochs = 2, LearningRate = 0.01f, Dropout = 0, ClassWeights = [1, 2, 0.5f] };
        var (train, validation) = (SyntheticMasks.Samples(32, 1), SyntheticMasks.Samples(16, 2));
        using var cpu = new CpuBackend(2);
        using var torch = TorchBackends.Create(new TorchBackendOptions { Threads = 1, SelfTest = false, ChannelsLast = channelsLast });
        var (expected, actual) = (History(cpu), History(torch));
        foreach (var (one, other) in expected.Zip(actual))
        {
            Assert.InRange(other.TrainingLoss, one.TrainingLoss * (1 - 1e-3), one.TrainingLoss * (1 + 1e-3));
            Assert.InRange(other.ValidationLoss!.Value, one.ValidationLoss!.Value * (1 - 1e-3), one.ValidationLoss.Value * (1 + 1e-3));
            Assert.Equal(one.ValidationMeanIoU!.Value, other.ValidationMeanIoU!.Value, 5e-3);
        }

        IReadOnlyList<EpochResult> History(Backend backend)
        {
            using var network = new TrainingNetwork(SyntheticMasks.Architecture, backend, seed: 3);
            return TrainingLoop.Run(backend, network, train, validation, SyntheticMasks.Normalization, options).History;
        }
    }

    [TorchSharpTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void Progressive_resizing_follows_the_cpu_backend(bool channelsLast)
    {
        var options = SyntheticTask.Options with { LearningRate = 0.01f, ProgressiveResizing = new ProgressiveResizing() };
        var (train, validation) = (SyntheticTask.Samples(96, 1), SyntheticTask.Samples(40, 2));
        using var torch = TorchBackends.Create(new TorchBackendOptions { Threads = 1, SelfTest = false, ChannelsLast = channelsLast });
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, torch, 3);
        var actual = TrainingLoop.Run(torch, network, train, validation, SyntheticTask.Normalization, options).History;
        var expected = SyntheticTask.Train(train, validation, options).History;
        Assert.Equal(4, actual.Count);
        foreach (var (one, other) in expected.Zip(actual))
        {
            Assert.InRange(other.TrainingLoss, one.TrainingLoss * (1 - 1e-3), one.TrainingLoss * (1 + 1e-3));
            Assert.InRange(other.ValidationLoss!.Value, one.ValidationLoss!.Value * (1 - 1e-3), one.ValidationLoss.Value * (1 + 1e-3));
        }
    }

    public static TheoryData<TrainingForm, bool> Forms
    {
        get
        {
            var data = new TheoryData<TrainingForm, bool>();
            foreach (var form in Enum.GetValues<TrainingForm>())
            {
                data.Add(form, false);
                data.Add(form, true);
            }
            return data;
        }
    }

    /// <summary>Grey images give stems with one weight per filter in 1x1 convolutions, whose gradient is 0 but for rounding.</summary>
    [TorchSharpTheory]
    [MemberData(nameof(Forms))]
    public void The_self_test_passes_for_every_training_form(TrainingForm form, bool bfloat16)
    {
        foreach (int channels in (int[])[1, 3])
        {
            var network = RepVggVariants.S0 with { InputChannels = channels, TrainingForm = form };
            using var backend = TorchBackends.Create(new TorchBackendOptions { Threads = 1, Bfloat16 = bfloat16, Network = network, Classes = 5 });
        }
    }

    [TorchSharpTheory]
    [InlineData("S0", false)]
    [InlineData("S1", true)]
    [InlineData("A0", false)]
    [InlineData("tiny-g4", true)]
    [InlineData("tiny-se", true)]
    [InlineData("tinyplus-pse", true)]
    public void The_self_test_passes_for_the_network_that_will_be_trained(string name, bool bfloat16)
    {
        var network = GoldenNetworks.All.GetValueOrDefault(name) ?? RepVggVariants.Find(name);
        TorchBackends.Create(new TorchBackendOptions { Threads = 2, Bfloat16 = bfloat16, Network = network }).Dispose();
    }

    /// <summary>libtorch's convolutions are wrong on machines that hide the caches of their processors, unless ONEDNN_MAX_CPU_ISA limits them, as the project of these tests does there.</summary>
    [TorchSharpFact]
    public async Task The_self_test_refuses_the_networks_that_libtorch_would_train_wrongly()
    {
        var (exitCode, output, errors) = await Program.Child.RunWithoutAsync("ONEDNN_MAX_CPU_ISA", "self-test");
        Assert.True(exitCode == 0, errors);
        string[] lines = output.Split(Environment.NewLine, StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(4, lines.Length);
        foreach (string line in lines)
        {
            var verdict = line.Split('\t') is [var name, var refused, var difference, var message]
                ? (Name: name, Refused: bool.Parse(refused), Difference: double.Parse(difference, CultureInfo.InvariantCulture), Message: message)
                : throw new InvalidDataException(line);
            // In between, the parts that the self-test compares and the whole gradient may fall on different sides of the tolerance.
            Assert.True(verdict.Refused ? verdict.Difference > 0.003 : verdict.Difference < 0.05, line);
            if (verdict.Refused)
                Assert.Matches(@"computes wrong numbers and is not used: .+ has a value of .+ where CPU.+ has .+ONEDNN_MAX_CPU_ISA", verdict.Message);
        }
    }

    [TorchSharpFact]
    public void Bfloat16_learns_and_keeps_weights_and_evaluation_in_single_precision()
    {
        using var backend = TorchBackends.Create(new TorchBackendOptions { Threads = 1, SelfTest = false, Bfloat16 = true });
        using var training = new TrainingSteps(backend, "tiny");
        double first = training.Step(), last = 0;
        for (int step = 0; step < 25; step++)
            last = training.Step();
        Assert.True(last < 0.8 * first, $"{first} to {last}");

        // A step of single precision moves weights by less than bfloat16 can hold.
        var weights = training.Network.ExportState();
        Assert.Contains(weights["stage2.1.rbr_dense.conv.weight"].Values, value => (BitConverter.SingleToInt32Bits(value) & 0xffff) != 0);
        using var cpu = new CpuBackend(1);
        using var reference = new TrainingNetwork(training.Network.Architecture, training.Network.Classes, cpu, seed: 0);
        reference.ImportState(weights);
        var images = RandomStates.Images(2, 3, 32, 32);
        Compare.Close(Evaluate(cpu, reference, images), Evaluate(backend, training.Network, images), 1e-4);
    }

    [TorchSharpTheory]
    [InlineData(0f, false)]
    [InlineData(0.9f, false)]
    [InlineData(0f, true)]
    [InlineData(0.9f, true)]
    public void The_training_loop_learns(float decay, bool adamW)
    {
        using var backend = TorchBackends.Create(new TorchBackendOptions { Threads = 1, SelfTest = false });
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
        var validation = SyntheticTask.Samples(203, 2);
        var options = SyntheticTask.Options with { Epochs = 8, EmaDecay = decay };
        if (adamW)
            options = options with { Optimizer = new AdamWOptions(), LearningRate = 0.01f, GradientClipNorm = 1, CustomL2 = true };
        var result = TrainingLoop.Run(backend, network, SyntheticTask.Samples(400, 1), validation, SyntheticTask.Normalization, options);
        Assert.True(result.History[result.BestEpoch - 1].ValidationAccuracy > 0.95, $"accuracy {result.History[result.BestEpoch - 1].ValidationAccuracy}");
    }

    /// <summary>Accumulated and clipped gradients, learning rates of layers, a teacher, mixed batches and the average of the last epochs, with weights of classes.</summary>
    [TorchSharpTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void Recipes_train_as_on_the_cpu_backend(bool adamW)
    {
        var teacher = RandomNetworks.Create(SyntheticTask.Architecture, 20, 20, SyntheticTask.Classes);
        var options = SyntheticTask.Options with
        {
            Epochs = 2, BatchSize = 16, GradientAccumulationSteps = 3, LayerLearningRateDecay = 0.7f, LearningRateBaseSize = 48, GradientClipNorm = 0.5f, AveragedCheckpoints = 2, ClassWeights = [1, 2, 0.5f, 1],
            LearningRate = adamW ? 3e-3f : 0.1f, Optimizer = adamW ? new AdamWOptions(Epsilon: 1e-4f) : new SgdOptions(),
            LearningRateScheduler = new() { Shape = ScheduleShape.Polynomial, Power = 2 }, Distillation = new Distillation(teacher, 3, 0.4f),
            Augmentation = new Augmentation { CropPadding = 1, Mixing = new Mixing { MixupAlpha = 0.3 } },
        };
        using var cpu = new CpuBackend(2);
        using var torch = TorchBackends.Create(new TorchBackendOptions { Threads = 1, SelfTest = false });
        var expected = Train(cpu);
        var actual = Train(torch);
        Assert.Equal([2, 1], actual.Average!.Epochs);
        var initial = Initialization.Draw(SyntheticTask.Architecture, SyntheticTask.Classes, 3);
        foreach (var (name, tensor) in expected.Weights)
        {
            Compare.Close(tensor.Values, actual.Weights[name].Values, 1e-3, name);
            // What training changed, which is little of the weights.
            if (name.EndsWith("rbr_dense.conv.weight", StringComparison.Ordinal) || name == "linear.weight")
                Compare.Close(Change(tensor, name), Change(actual.Weights[name], name), 0.01, $"change of {name}");
        }

        float[] Change(TensorData weights, string name) => [.. weights.Values.Zip(initial[name].Values, (after, before) => after - before)];

        TrainingResult Train(Backend backend)
        {
            using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
            return TrainingLoop.Run(backend, network, SyntheticTask.Samples(80, 1), null, SyntheticTask.Normalization, options);
        }
    }

    [TorchSharpTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_divergence_on_a_device_that_is_right_says_so(bool bfloat16)
    {
        using var backend = TorchBackends.Create(new TorchBackendOptions { Threads = 1, SelfTest = false, Bfloat16 = bfloat16 });
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
        // Every step multiplies the weights by about -1.3: the first epochs succeed.
        var options = SyntheticTask.Options with { Epochs = 100, WeightDecay = 23, Optimizer = new SgdOptions(Momentum: 0), LearningRateScheduler = new() { Shape = ScheduleShape.Constant } };
        var error = Assert.Throws<TrainingDivergedException>(() => TrainingLoop.Run(backend, network, SyntheticTask.Samples(200, 1), SyntheticTask.Samples(50, 2), SyntheticTask.Normalization, options));
        Assert.InRange(error.Epoch, 2, 100);
        Assert.Contains("Use a smaller learning rate", error.Message, StringComparison.Ordinal);
        Assert.EndsWith($"{backend.Description} and the CPU compute the same.", error.Message, StringComparison.Ordinal);
    }

    [TorchSharpFact]
    public void Lack_of_memory_names_the_batch_and_a_smaller_one()
    {
        using var backend = TorchBackends.Create(new TorchBackendOptions { Threads = 1, SelfTest = false });
        using var kernel = backend.CreateParameter(TensorData.Zeros(1 << 20, 1, 1, 1));
        using (backend.BeginStep(training: true))
        {
            // 64 MiB in, a million times as much out: no machine has that.
            var images = backend.CreateInput([4, 1, 2048, 2048], new float[4 << 22]);
            var error = Assert.Throws<InsufficientMemoryException>(() => backend.Conv2d(images, kernel, null, 1, 0, 1));
            Assert.Contains("ran out of memory on a batch of 4 images of [1, 2048, 2048]. Try a batch size of 2", error.Message, StringComparison.Ordinal);
        }
    }

    [TorchSharpFact]
    public void A_missing_cuda_device_is_refused_with_the_package_to_reference()
    {
        var error = Assert.Throws<DeviceUnavailableException>(() => TorchBackends.Create(new TorchBackendOptions { CudaDevice = 4000 }));
        Assert.Matches(@"There is no CUDA device 4000|finds no CUDA device: .+TorchSharp-(cuda|cpu)", error.Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => TorchBackends.Create(new TorchBackendOptions { CudaDevice = -1 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => TorchBackends.Create(new TorchBackendOptions { Threads = -1 }));
    }

    private static float[] Evaluate(Backend backend, TrainingNetwork network, TensorData images)
    {
        using var step = backend.BeginStep(training: false);
        var logits = network.Forward(backend.CreateInput([.. images.Shape], images.Values));
        var values = new float[logits.Shape[0] * logits.Shape[1]];
        backend.CopyOut(logits, values);
        return values;
    }
}
