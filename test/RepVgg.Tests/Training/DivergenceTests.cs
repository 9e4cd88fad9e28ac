using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Backends.Cpu;
using RepVgg.Diagnostics;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using Xunit;

namespace RepVgg.Tests.Training;

/// <summary>What a run that diverges returns, and what its message states as the reason.</summary>
public class DivergenceTests
{
    private static readonly InMemorySamples _train = SyntheticTask.Samples(200, 1), _validation = SyntheticTask.Samples(50, 2);

    // 200 images are 7 batches of at most 32.
    private const int StepsPerEpoch = 7;

    /// <summary>Every step multiplies the weights by about -1.3: the first epochs succeed, and the run diverges later.</summary>
    private static TrainingOptions Exploding { get; } = SyntheticTask.Options with { Epochs = 100, WeightDecay = 23, Optimizer = new SgdOptions(Momentum: 0), LearningRateScheduler = new() { Shape = ScheduleShape.Constant } };

    private static TrainingResult Train(Backend backend, TrainingOptions options, ISampleSource? train = null, Action<TrainingProgress>? progress = null, Action<TrainingNetwork>? observe = null)
    {
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
        observe?.Invoke(network);
        return TrainingLoop.Run(backend, network, train ?? _train, _validation, SyntheticTask.Normalization, options, progress);
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(0.9f)]
    public void The_best_weights_so_far_are_returned_where_the_option_says_so(float emaDecay)
    {
        using var backend = new CpuBackend(2);
        var finished = new List<EpochResult>();
        var result = Train(backend, Exploding with { ReturnBestOnDivergence = true, EmaDecay = emaDecay }, progress: progress => finished.AddRange(progress.EpochResult is { } epoch ? [epoch] : []));
        Assert.Equal(StopReason.Diverged, result.StopReason);
        Assert.InRange(result.History.Count, 1, 99);
        Assert.Equal(finished, result.History);
        Assert.Equal(result.History.Count + 1, result.Divergence!.Epoch);

        // A run of as many epochs as the best one has the same weights.
        var shorter = SyntheticTask.Train(_train, _validation, Exploding with { Epochs = result.BestEpoch, EmaDecay = emaDecay });
        TrainingLoopTests.SameBits(shorter.Weights, result.Weights);
    }

    [Fact]
    public void It_throws_otherwise_and_where_no_epoch_has_finished()
    {
        Assert.InRange(Assert.Throws<TrainingDivergedException>(() => SyntheticTask.Train(_train, _validation, Exploding)).Epoch, 2, 100);
        var atOnce = Exploding with { LearningRate = 1e30f, ReturnBestOnDivergence = true };
        Assert.Equal(1, Assert.Throws<TrainingDivergedException>(() => SyntheticTask.Train(_train, _validation, atOnce)).Epoch);
    }

    [Fact]
    public void A_run_that_diverged_resumes_from_its_checkpoint_to_the_same_result()
    {
        using var folder = new TemporaryFolder();
        var options = Exploding with { CheckpointPath = folder.File("run.checkpoint"), ReturnBestOnDivergence = true };
        var first = SyntheticTask.Train(_train, _validation, options);
        var again = SyntheticTask.Train(_train, _validation, options, networkSeed: 99);
        Assert.Equal((StopReason.Diverged, first.BestEpoch, first.History.Count), (again.StopReason, again.BestEpoch, again.ResumedAfterEpoch));
        TrainingLoopTests.SameBits(first.Weights, again.Weights);
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(3, 1)]
    [InlineData(2 * StepsPerEpoch + 2, 1)]
    [InlineData(2 * StepsPerEpoch + 2, 5)]
    public void A_device_that_gives_NaN_is_named_instead_of_the_learning_rate(int firstFaultyStep, int readInterval)
    {
        using var faulty = new AlteredBackend { FirstFaultyStep = firstFaultyStep, ReadInterval = readInterval };
        var error = Assert.Throws<TrainingDivergedException>(() => Train(faulty, SyntheticTask.Options));
        Assert.True(error.DeviceComputesWrongNumbers);
        string weights = firstFaultyStep < StepsPerEpoch ? "initial weights" : @"best weights so far, of epoch \d,";
        Assert.Matches($@"^Training diverged in epoch {firstFaultyStep / StepsPerEpoch + 1}, step \d: the loss is NaN at .+ The device computes wrong numbers: with the {weights} and the images of the step at which it was noticed, on Altered device 3, the output of linear has a value of NaN where CPU, .+ has ", error.Message);
        Assert.DoesNotContain("smaller", error.Message, StringComparison.Ordinal);
    }

    public static TheoryData<string> Faults => ["gradients", "an inner convolution", "a stride of 2", "the classifier", "evaluation"];

    [Theory]
    [MemberData(nameof(Faults))]
    public void A_device_that_is_wrong_in_a_part_of_the_network_is_named(string fault)
    {
        using var faulty = fault switch
        {
            "gradients" => new AlteredBackend { GradientFactor = -1 },
            "an inner convolution" => new AlteredBackend { FaultyConvolution = (kernel, stride, _) => kernel[0] == 8 && kernel[1] == 8 && stride == 1 },
            "a stride of 2" => new AlteredBackend { FaultyConvolution = (kernel, stride, _) => kernel[0] == 16 && stride == 2 },
            "the classifier" => new AlteredBackend { LogitFactor = -5 },
            _ => new AlteredBackend { EvaluationFactor = float.NaN },
        };
        var options = fault == "evaluation" ? SyntheticTask.Options : SyntheticTask.Options with { LearningRate = 1e30f };
        Assert.Contains("The device computes wrong numbers", Assert.Throws<TrainingDivergedException>(() => Train(faulty, options)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(0.5f)]
    public void A_device_that_is_right_is_not_accused(float emaDecay)
    {
        using var sound = new AlteredBackend();
        var error = Assert.Throws<TrainingDivergedException>(() => Train(sound, Exploding with { EmaDecay = emaDecay }));
        Assert.False(error.DeviceComputesWrongNumbers);
        Assert.Contains("Use a smaller learning rate (try 0.01)", error.Message, StringComparison.Ordinal);
        Assert.Matches(@"The device is probably not the reason: with the best weights so far, of epoch \d+, and the images of the step at which it was noticed, Altered device 3 and the CPU compute the same\.$", error.Message);
    }

    [Fact]
    public void Absurd_pixels_are_named_before_the_learning_rate_on_any_device()
    {
        var pixels = new float[_train.Count * SyntheticTask.Size * SyntheticTask.Size];
        for (int i = 0; i < _train.Count; i++)
            _train.Read(i, pixels.AsSpan(i * SyntheticTask.Size * SyntheticTask.Size));
        pixels[20_000] = 3e38f;
        var train = new InMemorySamples(pixels, [.. Enumerable.Range(0, _train.Count).Select(_train.LabelOf)], 1, SyntheticTask.Size, SyntheticTask.Size, SyntheticTask.Classes);
        foreach (var create in (Func<Backend>[])[() => new CpuBackend(2), () => new AlteredBackend()])
        {
            using var backend = create();
            var error = Assert.Throws<TrainingDivergedException>(() => Train(backend, SyntheticTask.Options, train));
            Assert.False(error.DeviceComputesWrongNumbers);
            Assert.Matches(@"at learning rate \S+\. 1 training image has pixels as large as 3e\+38, .+: row 138\. Correct or remove them first\. Use a smaller learning rate", error.Message);
        }
    }

    [Fact]
    public void A_file_that_cannot_be_read_does_not_replace_the_divergence()
    {
        foreach (var create in (Func<Backend>[])[() => new CpuBackend(2), () => new AlteredBackend()])
        {
            using var backend = create();
            var source = new ObservedSource(_train, () => throw new IOException("The drive is gone."));
            var result = Train(backend, Exploding with { ReturnBestOnDivergence = true }, source);
            Assert.Equal(StopReason.Diverged, result.StopReason);
            Assert.Contains("Whether training images have absurd pixels could not be checked: The drive is gone. Use a smaller learning rate", result.Divergence!.Message, StringComparison.Ordinal);
            Assert.Equal(backend is AlteredBackend, result.Divergence.Message.EndsWith("Whether Altered device 3 computes correct numbers could not be checked: The drive is gone.", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void A_device_that_was_not_compared_is_not_mentioned()
    {
        using var cancellation = new CancellationTokenSource();
        using var sound = new AlteredBackend();
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, sound, 3);
        // The comparison reads the images on the calling thread.
        var source = new ObservedSource(_train, cancellation.Cancel);
        var error = Assert.Throws<TrainingDivergedException>(() => TrainingLoop.Run(sound, network, source, _validation, SyntheticTask.Normalization, Exploding, cancellationToken: cancellation.Token));
        Assert.True(cancellation.IsCancellationRequested);
        Assert.DoesNotContain("device", error.Message, StringComparison.OrdinalIgnoreCase);
    }

    [Theory]
    [InlineData(0.5f, true)]
    [InlineData(float.NaN, false)]
    public void Without_finite_results_of_the_reference_nothing_is_compared(float pixel, bool isCompared)
    {
        using var sound = new AlteredBackend();
        using var reference = new CpuBackend(1);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, sound, 3);
        float[] images = new float[4 * SyntheticTask.Size * SyntheticTask.Size];
        Array.Fill(images, pixel, 0, images.Length / 2);
        Assert.Equal((null, isCompared), BackendComparison.FindFault(sound, reference, network, network.ExportState(), images, (1, SyntheticTask.Size, SyntheticTask.Size), [0, 1, 0, 1], CancellationToken.None));
    }

    /// <summary>A set that calls back for every read that is not on the thread of a batch loader.</summary>
    private sealed class ObservedSource(ISampleSource inner, Action beforeOtherRead) : ISampleSource
    {
        public int Count => inner.Count;
        public int Channels => inner.Channels;
        public int Height => inner.Height;
        public int Width => inner.Width;
        public int Classes => inner.Classes;

        public int Read(int index, Span<float> pixels)
        {
            if (Thread.CurrentThread.Name != "RepVgg batch loader")
                beforeOtherRead();
            return inner.Read(index, pixels);
        }

        public int LabelOf(int index) => inner.LabelOf(index);
    }

    [Fact]
    public void Networks_with_all_parts_are_compared_without_an_accusation()
    {
        foreach (string name in new[] { "tiny-g4", "tiny-se", "tinyplus-pse" })
        {
            var architecture = GoldenNetworks.All[name];
            int size = architecture.TotalStride * 2, length = architecture.InputChannels * size * size;
            var pixels = new byte[40 * length];
            new Random(1).NextBytes(pixels);
            var samples = new InMemorySamples(pixels, [.. Enumerable.Range(0, 40).Select(i => i % 4)], architecture.InputChannels, size, size, 4);
            using var sound = new AlteredBackend();
            using var network = new TrainingNetwork(architecture, 4, sound, 3);
            var normalization = new Normalization([.. Enumerable.Repeat(128f, architecture.InputChannels)], [.. Enumerable.Repeat(1 / 64f, architecture.InputChannels)]);
            var error = Assert.Throws<TrainingDivergedException>(() => TrainingLoop.Run(sound, network, samples, null, normalization, SyntheticTask.Options with { Augmentation = Augmentation.None, LearningRate = 1e30f }));
            Assert.Contains("compute the same.", error.Message, StringComparison.Ordinal);
        }
    }
}
