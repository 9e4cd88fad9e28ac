using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using Xunit;

namespace RepVgg.Tests.Training;

public class ResumeTests
{
    private static readonly InMemorySamples s_train = SyntheticTask.Samples(200, 1), s_validation = SyntheticTask.Samples(50, 2);

    private static TrainingOptions Options(string? checkpoint) => SyntheticTask.Options with { Epochs = 5, Nesterov = true, CheckpointPath = checkpoint };

    private static TrainingResult TrainUntil(TrainingOptions options, int epoch, int step, ISampleSource? validation)
    {
        using var source = new CancellationTokenSource();
        return SyntheticTask.Train(s_train, validation, options, progress =>
        {
            if (progress.Epoch == epoch && progress.Step == step && !progress.IsValidation)
                source.Cancel();
        }, source.Token);
    }

    [Theory]
    [InlineData(1, 1, true)]
    [InlineData(3, 1, true)]
    [InlineData(4, 6, true)]
    [InlineData(3, 4, false)]
    public void ACutRunEndsWithTheSameBits(int epoch, int step, bool validate)
    {
        using var folder = new TemporaryFolder();
        var validation = validate ? s_validation : null;
        var whole = SyntheticTask.Train(s_train, validation, Options(null));

        var options = Options(folder.File("run.checkpoint"));
        Assert.Equal(StopReason.Cancelled, TrainUntil(options, epoch, step, validation).StopReason);
        // Another network seed: everything must come from the checkpoint, once there is one.
        var resumed = SyntheticTask.Train(s_train, validation, options, threads: 1, networkSeed: epoch == 1 ? 3UL : 99UL);

        Assert.Equal(epoch - 1, resumed.ResumedAfterEpoch);
        Assert.Equal(StopReason.Completed, resumed.StopReason);
        Assert.Equal(whole.BestEpoch, resumed.BestEpoch);
        Assert.Equal(SyntheticTask.WithoutTimes(whole.History), SyntheticTask.WithoutTimes(resumed.History));
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
        Assert.Equal([options.CheckpointPath!], Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void TheBestSoFarSurvivesTheCutWhenItIsNotTheLatest()
    {
        using var folder = new TemporaryFolder();
        var validation = SyntheticTask.Samples(50, 2, mislabelled: true);
        var plain = Options(null) with { MonitoredMetric = TrainingMetric.Loss };
        var whole = SyntheticTask.Train(s_train, validation, plain);
        Assert.InRange(whole.BestEpoch, 1, 3);

        var options = plain with { CheckpointPath = folder.File("run.checkpoint") };
        Assert.Equal(whole.BestEpoch, TrainUntil(options, 5, 2, validation).BestEpoch);
        var resumed = SyntheticTask.Train(s_train, validation, options, networkSeed: 99);
        Assert.Equal((whole.BestEpoch, 4), (resumed.BestEpoch, resumed.ResumedAfterEpoch));
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
    }

    [Fact]
    public void TheMovingAverageSurvivesTheCut()
    {
        using var folder = new TemporaryFolder();
        var plain = Options(null) with { EmaDecay = 0.9f };
        var whole = SyntheticTask.Train(s_train, s_validation, plain);
        var options = plain with { CheckpointPath = folder.File("run.checkpoint") };
        TrainUntil(options, 4, 3, s_validation);
        var resumed = SyntheticTask.Train(s_train, s_validation, options, networkSeed: 99);
        Assert.Equal(3, resumed.ResumedAfterEpoch);
        Assert.Equal(SyntheticTask.WithoutTimes(whole.History), SyntheticTask.WithoutTimes(resumed.History));
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
        Assert.NotEqual(SyntheticTask.Train(s_train, s_validation, Options(null)).Weights["linear.weight"].Values, whole.Weights["linear.weight"].Values);
    }

    [Fact]
    public void CutTwiceStillEndsWithTheSameBits()
    {
        using var folder = new TemporaryFolder();
        var whole = SyntheticTask.Train(s_train, s_validation, Options(null));
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 3, s_validation);
        TrainUntil(options, 4, 2, s_validation);
        var resumed = SyntheticTask.Train(s_train, s_validation, options);
        Assert.Equal(3, resumed.ResumedAfterEpoch);
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
    }

    [Fact]
    public void AFinishedRunGivesItsResultAtOnce()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        var first = SyntheticTask.Train(s_train, s_validation, options);
        int batches = 0;
        var again = SyntheticTask.Train(s_train, s_validation, options, _ => batches++, networkSeed: 99);
        Assert.Equal(0, batches);
        Assert.Equal(5, again.ResumedAfterEpoch);
        Assert.Equal(first.BestEpoch, again.BestEpoch);
        TrainingLoopTests.SameBits(first.Weights, again.Weights);
    }

    [Fact]
    public void AnEarlyStoppedRunStaysStopped()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint")) with { EarlyStoppingCriteria = new() { MinDelta = 0.9, Patience = 2 } };
        var first = SyntheticTask.Train(s_train, s_validation, options);
        var again = SyntheticTask.Train(s_train, s_validation, options);
        Assert.Equal(StopReason.EarlyStopped, first.StopReason);
        Assert.Equal((first.StopReason, first.History.Count, first.BestEpoch), (again.StopReason, again.History.Count, again.BestEpoch));
    }

    [Fact]
    public void AnotherRunsCheckpointIsRefusedAndLeftAlone()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 1, s_validation);
        byte[] before = File.ReadAllBytes(options.CheckpointPath!);

        void Refused(string expected, TrainingOptions other, ISampleSource? train = null, ISampleSource? validation = null)
        {
            var error = Assert.Throws<InvalidOperationException>(() => SyntheticTask.Train(train ?? s_train, validation ?? s_validation, other));
            Assert.Contains(expected, error.Message, StringComparison.Ordinal);
            Assert.Contains(options.CheckpointPath!, error.Message, StringComparison.Ordinal);
        }
        Refused("Epochs was 5 and is 6", options with { Epochs = 6 });
        Refused("LearningRate was 0.1 and is 0.2", options with { LearningRate = 0.2f });
        Refused("Seed was 11 and is 12", options with { Seed = 12 });
        Refused("LearningRateScheduler was", options with { LearningRateScheduler = new() });
        Refused("Augmentation was", options with { Augmentation = Augmentation.None });
        Refused("Training set was", options, SyntheticTask.Samples(200, 5));
        Refused("Validation set was", options, null, SyntheticTask.Samples(51, 2));
        Assert.Equal(before, File.ReadAllBytes(options.CheckpointPath!));
    }

    [Fact]
    public void ADamagedCheckpointIsAnError()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 1, s_validation);
        byte[] whole = File.ReadAllBytes(options.CheckpointPath!);
        File.WriteAllBytes(options.CheckpointPath!, whole[..(whole.Length / 2)]);
        var error = Assert.Throws<InvalidDataException>(() => SyntheticTask.Train(s_train, s_validation, options));
        Assert.Contains("truncated or damaged", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void APlaceThatCannotBeWrittenIsNoticedBeforeTraining()
    {
        using var folder = new TemporaryFolder();
        int batches = 0;
        var error = Assert.Throws<DirectoryNotFoundException>(() => SyntheticTask.Train(s_train, s_validation, Options(Path.Combine(folder.Path, "missing", "run.checkpoint")), _ => batches++));
        Assert.StartsWith("The training checkpoint '", error.Message, StringComparison.Ordinal);
        Assert.Contains("run.checkpoint' cannot be written: the folder '", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, batches);
    }
}
