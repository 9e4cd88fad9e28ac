using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;
using Xunit;

namespace RepVgg.Tests.Training;

public class ResumeTests
{
    private static readonly InMemorySamples _train = SyntheticTask.Samples(200, 1), _validation = SyntheticTask.Samples(50, 2);

    private static TrainingOptions Options(string? checkpoint) => SyntheticTask.Options with { Epochs = 5, Nesterov = true, CheckpointPath = checkpoint };

    private static TrainingResult TrainUntil(TrainingOptions options, int epoch, int step, ISampleSource? validation)
    {
        using var source = new CancellationTokenSource();
        return SyntheticTask.Train(_train, validation, options, progress =>
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
    public void A_cut_run_ends_with_the_same_bits(int epoch, int step, bool validate)
    {
        using var folder = new TemporaryFolder();
        var validation = validate ? _validation : null;
        var whole = SyntheticTask.Train(_train, validation, Options(null));

        var options = Options(folder.File("run.checkpoint"));
        Assert.Equal(StopReason.Cancelled, TrainUntil(options, epoch, step, validation).StopReason);
        // Another network seed: everything must come from the checkpoint, once there is one.
        var resumed = SyntheticTask.Train(_train, validation, options, threads: 1, networkSeed: epoch == 1 ? 3UL : 99UL);

        Assert.Equal(epoch - 1, resumed.ResumedAfterEpoch);
        Assert.Equal(StopReason.Completed, resumed.StopReason);
        Assert.Equal(whole.BestEpoch, resumed.BestEpoch);
        Assert.Equal(SyntheticTask.WithoutTimes(whole.History), SyntheticTask.WithoutTimes(resumed.History));
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
        Assert.Equal([options.CheckpointPath!], Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void The_best_so_far_survives_the_cut_when_it_is_not_the_latest()
    {
        using var folder = new TemporaryFolder();
        var validation = SyntheticTask.Samples(50, 2, mislabelled: true);
        var plain = Options(null) with { MonitoredMetric = TrainingMetric.Loss };
        var whole = SyntheticTask.Train(_train, validation, plain);
        Assert.InRange(whole.BestEpoch, 1, 3);

        var options = plain with { CheckpointPath = folder.File("run.checkpoint") };
        Assert.Equal(whole.BestEpoch, TrainUntil(options, 5, 2, validation).BestEpoch);
        var resumed = SyntheticTask.Train(_train, validation, options, networkSeed: 99);
        Assert.Equal((whole.BestEpoch, 4), (resumed.BestEpoch, resumed.ResumedAfterEpoch));
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
    }

    [Fact]
    public void The_moving_average_survives_the_cut()
    {
        using var folder = new TemporaryFolder();
        var plain = Options(null) with { EmaDecay = 0.9f };
        var whole = SyntheticTask.Train(_train, _validation, plain);
        var options = plain with { CheckpointPath = folder.File("run.checkpoint") };
        TrainUntil(options, 4, 3, _validation);
        var resumed = SyntheticTask.Train(_train, _validation, options, networkSeed: 99);
        Assert.Equal(3, resumed.ResumedAfterEpoch);
        Assert.Equal(SyntheticTask.WithoutTimes(whole.History), SyntheticTask.WithoutTimes(resumed.History));
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
        Assert.NotEqual(SyntheticTask.Train(_train, _validation, Options(null)).Weights["linear.weight"].Values, whole.Weights["linear.weight"].Values);
    }

    [Fact]
    public void Cut_twice_still_ends_with_the_same_bits()
    {
        using var folder = new TemporaryFolder();
        var whole = SyntheticTask.Train(_train, _validation, Options(null));
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 3, _validation);
        TrainUntil(options, 4, 2, _validation);
        var resumed = SyntheticTask.Train(_train, _validation, options);
        Assert.Equal(3, resumed.ResumedAfterEpoch);
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
    }

    [Fact]
    public void A_finished_run_gives_its_result_at_once()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        var first = SyntheticTask.Train(_train, _validation, options);
        int batches = 0;
        var again = SyntheticTask.Train(_train, _validation, options, _ => batches++, networkSeed: 99);
        Assert.Equal(0, batches);
        Assert.Equal(5, again.ResumedAfterEpoch);
        Assert.Equal(first.BestEpoch, again.BestEpoch);
        TrainingLoopTests.SameBits(first.Weights, again.Weights);
    }

    [Fact]
    public void An_early_stopped_run_stays_stopped()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint")) with { EarlyStoppingCriteria = new() { MinDelta = 0.9, Patience = 2 } };
        var first = SyntheticTask.Train(_train, _validation, options);
        var again = SyntheticTask.Train(_train, _validation, options);
        Assert.Equal(StopReason.EarlyStopped, first.StopReason);
        Assert.Equal((first.StopReason, first.History.Count, first.BestEpoch), (again.StopReason, again.History.Count, again.BestEpoch));
    }

    [Fact]
    public void Another_runs_checkpoint_is_refused_and_left_alone()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 1, _validation);
        byte[] before = File.ReadAllBytes(options.CheckpointPath!);

        void Refused(string expected, TrainingOptions other, ISampleSource? train = null, ISampleSource? validation = null)
        {
            var error = Assert.Throws<InvalidOperationException>(() => SyntheticTask.Train(train ?? _train, validation ?? _validation, other));
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
    public void A_damaged_checkpoint_is_an_error()
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 1, _validation);
        byte[] whole = File.ReadAllBytes(options.CheckpointPath!);
        File.WriteAllBytes(options.CheckpointPath!, whole[..(whole.Length / 2)]);
        var error = Assert.Throws<InvalidDataException>(() => SyntheticTask.Train(_train, _validation, options));
        Assert.Contains("truncated or damaged", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\"bestEpoch\":", "\"bestEpoch\":9")]
    [InlineData("\"bestEpoch\":", "\"other\":")]
    [InlineData("\"history\":[", "\"history\":[null,")]
    [InlineData("\"history\":", "\"other\":")]
    [InlineData("{", "{\"run\":{},")]
    [InlineData("{", "[")]
    public void A_checkpoint_of_another_content_with_a_right_checksum_is_damaged(string part, string changed)
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 1, _validation);
        var (text, tensors) = CheckpointFile.Read(options.CheckpointPath!);
        int at = text.IndexOf(part, StringComparison.Ordinal);
        CheckpointFile.Write(options.CheckpointPath!, text[..at] + changed + text[(at + part.Length)..], tensors);
        var error = Assert.Throws<InvalidDataException>(() => SyntheticTask.Train(_train, _validation, options));
        Assert.Contains("was not written by this library", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("weights/")]
    [InlineData("optimizer/")]
    public void A_checkpoint_without_a_tensor_is_damaged(string prefix)
    {
        using var folder = new TemporaryFolder();
        var options = Options(folder.File("run.checkpoint"));
        TrainUntil(options, 2, 1, _validation);
        var (text, tensors) = CheckpointFile.Read(options.CheckpointPath!);
        string lost = tensors.Names.First(name => name.StartsWith(prefix, StringComparison.Ordinal));
        var others = new StateDict();
        foreach (var (name, tensor) in tensors)
        {
            if (name != lost)
                others[name] = tensor;
        }
        CheckpointFile.Write(options.CheckpointPath!, text, others);
        var error = Assert.Throws<InvalidDataException>(() => SyntheticTask.Train(_train, _validation, options));
        Assert.Contains(lost[prefix.Length..], error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_place_that_cannot_be_written_is_noticed_before_training()
    {
        using var folder = new TemporaryFolder();
        int batches = 0;
        var error = Assert.Throws<DirectoryNotFoundException>(() => SyntheticTask.Train(_train, _validation, Options(Path.Combine(folder.Path, "missing", "run.checkpoint")), _ => batches++));
        Assert.StartsWith("The training checkpoint '", error.Message, StringComparison.Ordinal);
        Assert.Contains("run.checkpoint' cannot be written: the folder '", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, batches);
    }
}
