using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;
using Xunit;

namespace RepVgg.Tests.Training;

/// <summary>The average of the best epochs. The weights of each epoch are those of a shorter run without validation, as the learning rate is constant.</summary>
public class AveragedCheckpointsTests
{
    private static readonly InMemorySamples _train = SyntheticTask.Samples(120, 1), _validation = SyntheticTask.Samples(60, 2);

    private static TrainingOptions Options(int averaged) =>
        SyntheticTask.Options with { Epochs = 5, LearningRate = 0.02f, LearningRateScheduler = new() { Shape = ScheduleShape.Constant }, AveragedCheckpoints = averaged };

    private static StateDict WeightsAfter(int epochs, TrainingOptions options) => SyntheticTask.Train(_train, null, options with { Epochs = epochs, AveragedCheckpoints = 0 }).Weights;

    /// <summary>The mean loss and the accuracy of weights on the validation set.</summary>
    private static (double Loss, double Accuracy) Evaluate(StateDict weights)
    {
        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 1);
        network.ImportState(weights);
        double loss = 0, correct = 0;
        var augmenter = new ImageAugmenter(Augmentation.None, SyntheticTask.Normalization, 1, SyntheticTask.Size, SyntheticTask.Size);
        using var loader = BatchLoader.Evaluation(_validation, augmenter, _validation.Count);
        var batch = loader.Next()!;
        float[] logits = new float[batch.Count * SyntheticTask.Classes];
        using (backend.BeginStep(training: false))
            backend.CopyOut(network.Forward(backend.CreateInput([batch.Count, 1, SyntheticTask.Size, SyntheticTask.Size], batch.Images)), logits);
        for (int i = 0; i < batch.Count; i++)
        {
            float[] row = logits[(i * SyntheticTask.Classes)..((i + 1) * SyntheticTask.Classes)];
            loss += Math.Log(row.Sum(value => Math.Exp(value))) - row[batch.Labels[i]];
            correct += Array.IndexOf(row, row.Max()) == batch.Labels[i] ? 1 : 0;
        }
        return (loss / batch.Count, correct / batch.Count);
    }

    private static void IsMean(IReadOnlyList<StateDict> expected, StateDict actual)
    {
        foreach (var (name, tensor) in actual)
        {
            float[] mean = [.. Enumerable.Range(0, tensor.Values.Length).Select(i => (float)expected.Average(weights => (double)weights[name].Values[i]))];
            Compare.Close(mean, tensor.Values, 1e-6, name);
        }
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(0.9f)]
    public void Without_validation_the_last_epochs_are_averaged(float emaDecay)
    {
        var options = Options(3) with { EmaDecay = emaDecay };
        var result = SyntheticTask.Train(_train, null, options);
        Assert.Equal([5, 4, 3], result.Average!.Epochs);
        Assert.Equal((null, null, true), (result.Average.ValidationLoss, result.Average.ValidationAccuracy, result.Average.IsReturned));
        IsMean([.. new[] { 3, 4, 5 }.Select(epoch => WeightsAfter(epoch, options))], result.Weights);
    }

    [Theory]
    [InlineData(TrainingMetric.Loss, 12, 0.2f)]
    [InlineData(TrainingMetric.Accuracy, 8, 1.5f)]
    public void With_validation_the_best_epochs_are_averaged(TrainingMetric metric, int epochs, float learningRate)
    {
        var options = Options(3) with { MonitoredMetric = metric, Epochs = epochs, LearningRate = learningRate };
        var result = SyntheticTask.Train(_train, _validation, options);
        int[] best = [.. result.History.OrderByDescending(epoch => metric == TrainingMetric.Loss ? -epoch.ValidationLoss : epoch.ValidationAccuracy).ThenBy(epoch => epoch.ValidationLoss).Take(3).Select(epoch => epoch.Epoch)];
        var average = result.Average!;
        Assert.Equal(best, average.Epochs);
        Assert.Equal(best[0], result.BestEpoch);
        Assert.True(average.IsReturned);
        IsMean([.. best.Select(epoch => WeightsAfter(epoch, options))], result.Weights);
        var (loss, accuracy) = Evaluate(result.Weights);
        Assert.Equal(loss, average.ValidationLoss!.Value, 1e-5);
        Assert.Equal(accuracy, average.ValidationAccuracy!.Value, 1e-9);
    }

    /// <summary>The loss on images with wrong labels rises from the first epoch on, so that the average with later epochs is worse.</summary>
    [Fact]
    public void A_worse_average_is_not_returned()
    {
        var validation = SyntheticTask.Samples(60, 2, mislabelled: true);
        var options = Options(4) with { MonitoredMetric = TrainingMetric.Loss, LearningRate = 0.1f };
        var result = SyntheticTask.Train(_train, validation, options);
        var average = result.Average!;
        Assert.False(average.IsReturned);
        Assert.True(average.ValidationLoss > result.History[result.BestEpoch - 1].ValidationLoss);
        TrainingLoopTests.SameBits(WeightsAfter(result.BestEpoch, options), result.Weights);
    }

    [Theory]
    [InlineData(true, 0f, 4)]
    [InlineData(true, 0.8f, 4)]
    [InlineData(false, 0f, 4)]
    [InlineData(true, 0f, 6)]
    public void A_cut_or_finished_run_ends_with_the_same_bits(bool validate, float emaDecay, int cutEpoch)
    {
        using var folder = new TemporaryFolder();
        var validation = validate ? _validation : null;
        var plain = Options(3) with { EmaDecay = emaDecay };
        var whole = SyntheticTask.Train(_train, validation, plain, threads: 1);
        var options = plain with { CheckpointPath = folder.File("run.checkpoint") };
        using var source = new CancellationTokenSource();
        var cut = SyntheticTask.Train(_train, validation, options, progress =>
        {
            if (progress.Epoch == cutEpoch && progress.Step == 2)
                source.Cancel();
        }, source.Token);
        Assert.Equal(cutEpoch <= 5, cut.StopReason == StopReason.Cancelled);
        Assert.Equal(cutEpoch <= 5, cut.Average is null);
        var resumed = SyntheticTask.Train(_train, validation, options, networkSeed: 99);
        Assert.Equal(Math.Min(cutEpoch - 1, 5), resumed.ResumedAfterEpoch);
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
        Assert.Equal(whole.Average!.Epochs, resumed.Average!.Epochs);
        Assert.Equal(whole.Average with { Epochs = resumed.Average.Epochs }, resumed.Average);
        var error = Assert.Throws<InvalidOperationException>(() => SyntheticTask.Train(_train, validation, options with { AveragedCheckpoints = 2 }));
        Assert.Contains("AveragedCheckpoints was 3 and is 2", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_cancelled_average_is_continued_by_the_next_run()
    {
        using var folder = new TemporaryFolder();
        var options = Options(2) with { CheckpointPath = folder.File("run.checkpoint") };
        using var source = new CancellationTokenSource();
        var cut = SyntheticTask.Train(_train, _validation, options, progress =>
        {
            if (progress is { Epoch: 5, EpochResult: not null })
                source.Cancel();
        }, source.Token);
        Assert.Equal((StopReason.Cancelled, true, 5), (cut.StopReason, cut.Average is null, cut.History.Count));
        TrainingLoopTests.SameBits(WeightsAfter(cut.BestEpoch, options with { CheckpointPath = null }), cut.Weights);
        var resumed = SyntheticTask.Train(_train, _validation, options);
        Assert.Equal((StopReason.Completed, 5), (resumed.StopReason, resumed.ResumedAfterEpoch));
        TrainingLoopTests.SameBits(SyntheticTask.Train(_train, _validation, Options(2)).Weights, resumed.Weights);
    }

    [Fact]
    public void A_checkpoint_without_the_weights_of_a_best_epoch_is_damaged()
    {
        using var folder = new TemporaryFolder();
        var options = Options(4) with { Epochs = 3, CheckpointPath = folder.File("run.checkpoint") };
        SyntheticTask.Train(_train, null, options);
        var (text, tensors) = CheckpointFile.Read(options.CheckpointPath!);
        var others = new StateDict();
        foreach (var (name, tensor) in tensors.Where(tensor => !tensor.Key.StartsWith("best2/", StringComparison.Ordinal)))
            others[name] = tensor;
        Assert.True(others.Count < tensors.Count);
        CheckpointFile.Write(options.CheckpointPath!, text, others);
        Assert.Contains("the weights of epoch 2 are missing", Assert.Throws<InvalidDataException>(() => SyntheticTask.Train(_train, null, options)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void One_epoch_is_no_average(int averaged)
    {
        var result = SyntheticTask.Train(_train, _validation, Options(averaged));
        Assert.Null(result.Average);
        TrainingLoopTests.SameBits(WeightsAfter(result.BestEpoch, Options(0)), result.Weights);
    }
}
