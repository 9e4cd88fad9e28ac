using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Tests.Training;

public class TrainingLoopTests
{
    private static readonly InMemorySamples _train = SyntheticTask.Samples(400, 1), _validation = SyntheticTask.Samples(203, 2);

    internal static void SameBits(StateDict expected, StateDict actual)
    {
        Assert.Equal(expected.Names, actual.Names);
        foreach (var (name, tensor) in expected)
            Assert.True(tensor.Values.AsSpan().SequenceEqual(actual[name].Values), $"{name} differs.");
    }

    [Fact]
    public void Learns_the_task()
    {
        var result = SyntheticTask.Train(_train, _validation, SyntheticTask.Options with { Epochs = 8 });
        Assert.Equal(StopReason.Completed, result.StopReason);
        Assert.Equal(8, result.History.Count);
        Assert.True(result.History[result.BestEpoch - 1].ValidationAccuracy > 0.95, $"accuracy {result.History[result.BestEpoch - 1].ValidationAccuracy}");
        Assert.True(result.History[0].TrainingLoss > result.History[^1].TrainingLoss);
    }

    [Fact]
    public void Random_labels_are_not_learnt()
    {
        // Verifies the measurement of the test above: with random labels, the validation accuracy cannot exceed chance.
        var random = new Random(4);
        var pixels = new byte[400 * 144];
        random.NextBytes(pixels);
        var noise = new InMemorySamples(pixels, [.. Enumerable.Range(0, 400).Select(_ => random.Next(4))], 1, 12, 12, 4);
        var (train, validation) = SampleSubset.Split(noise, 0.5, 1);
        var result = SyntheticTask.Train(train, validation, SyntheticTask.Options);
        // Binomial(200, 1/4): 25 % and five standard deviations.
        Assert.All(result.History, epoch => Assert.InRange(epoch.ValidationAccuracy!.Value, 0.0, 0.41));
    }

    [Fact]
    public void Same_seed_same_bits_for_any_number_of_threads()
    {
        var one = SyntheticTask.Train(_train, _validation, SyntheticTask.Options, threads: 1);
        var two = SyntheticTask.Train(_train, _validation, SyntheticTask.Options, threads: 2);
        var three = SyntheticTask.Train(_train, _validation, SyntheticTask.Options, threads: 3);
        SameBits(one.Weights, two.Weights);
        SameBits(one.Weights, three.Weights);
        Assert.Equal(SyntheticTask.WithoutTimes(one.History), SyntheticTask.WithoutTimes(two.History));

        var other = SyntheticTask.Train(_train, _validation, SyntheticTask.Options with { Seed = 12 });
        Assert.NotEqual(one.Weights["linear.weight"].Values, other.Weights["linear.weight"].Values);
    }

    [Fact]
    public void Measures_the_whole_validation_set_in_evaluation_mode()
    {
        // 203 images in batches of 32: the short last batch counts by its images. The reference runs them one by one.
        using var backend = new CpuBackend(2);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
        var result = TrainingLoop.Run(backend, network, _train, _validation, SyntheticTask.Normalization, SyntheticTask.Options);

        double loss = 0;
        int correct = 0;
        var pixels = new float[144];
        var logits = new float[4];
        for (int i = 0; i < _validation.Count; i++)
        {
            int label = _validation.Read(i, pixels);
            for (int p = 0; p < pixels.Length; p++)
                pixels[p] = (pixels[p] - 128) / 64;
            using (backend.BeginStep(training: false))
                backend.CopyOut(network.Forward(backend.CreateInput([1, 1, 12, 12], pixels)), logits);
            loss += Math.Log(logits.Sum(l => Math.Exp(l - logits[label])));
            correct += logits.AsSpan().IndexOf(logits.Max()) == label ? 1 : 0;
        }
        var best = result.History[result.BestEpoch - 1];
        Assert.Equal((double)correct / _validation.Count, best.ValidationAccuracy!.Value, 1e-12);
        Assert.Equal(loss / _validation.Count, best.ValidationLoss!.Value, 1e-5);
    }

    [Theory]
    [InlineData(TrainingMetric.Accuracy)]
    [InlineData(TrainingMetric.Loss)]
    public void Keeps_the_best_weights_and_puts_them_into_the_network(TrainingMetric metric)
    {
        using var backend = new CpuBackend(2);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
        var states = new List<StateDict>();
        var options = SyntheticTask.Options with { Epochs = 6, MonitoredMetric = metric };
        // Validation figures that fall, so that the last epoch is not simply the best.
        var validation = SyntheticTask.Samples(203, 2, mislabelled: true);
        var result = TrainingLoop.Run(backend, network, _train, validation, SyntheticTask.Normalization, options, progress =>
        {
            if (progress.EpochResult is not null)
                states.Add(network.ExportState());
        });
        var best = metric == TrainingMetric.Accuracy
            ? result.History.OrderByDescending(e => e.ValidationAccuracy).ThenBy(e => e.ValidationLoss).First()
            : result.History.OrderBy(e => e.ValidationLoss).First();
        Assert.Equal(best.Epoch, result.BestEpoch);
        Assert.InRange(result.BestEpoch, 1, 5);
        SameBits(states[result.BestEpoch - 1], result.Weights);
        SameBits(result.Weights, network.ExportState());
    }

    [Fact]
    public void Keeps_the_moving_average_where_there_is_one()
    {
        using var backend = new CpuBackend(2);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
        var options = SyntheticTask.Options with { Epochs = 2, EmaDecay = 0.7f };
        // The reference, in double: from the weights after every step, read in the callback.
        var averages = network.ExportState().ToDictionary(pair => pair.Key, pair => pair.Value.Values.Select(v => (double)v).ToArray());
        int steps = 0;
        var result = TrainingLoop.Run(backend, network, _train, null, SyntheticTask.Normalization, options, progress =>
        {
            if (progress.EpochResult is not null)
                return;
            double decay = Math.Min(0.7, (1.0 + steps) / (10 + steps));
            steps++;
            foreach (var (name, tensor) in network.ExportState())
            {
                for (int i = 0; i < tensor.Values.Length; i++)
                    averages[name][i] = decay * averages[name][i] + (1 - decay) * tensor.Values[i];
            }
        });
        Assert.Equal(26, steps);
        foreach (var (name, tensor) in result.Weights)
            Compare.Close(Array.ConvertAll(averages[name], v => (float)v), tensor.Values, 1e-5, name);
        SameBits(network.ExportState(), result.Weights);
    }

    [Fact]
    public void Without_validation_keeps_the_last_weights()
    {
        using var backend = new CpuBackend(2);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
        var result = TrainingLoop.Run(backend, network, _train, null, SyntheticTask.Normalization, SyntheticTask.Options with { Epochs = 2 });
        Assert.Equal(2, result.BestEpoch);
        Assert.All(result.History, epoch => Assert.Null(epoch.ValidationAccuracy));
        SameBits(network.ExportState(), result.Weights);
    }

    [Fact]
    public void Stops_early_where_nothing_is_gained()
    {
        var options = SyntheticTask.Options with { Epochs = 50, EarlyStoppingCriteria = new() { MinDelta = 0.05, Patience = 3 } };
        var result = SyntheticTask.Train(_train, _validation, options);
        Assert.Equal(StopReason.EarlyStopped, result.StopReason);
        Assert.True(options.EarlyStoppingCriteria.ShouldStop(result.History));
        Assert.False(options.EarlyStoppingCriteria.ShouldStop([.. result.History.SkipLast(1)]));
        Assert.InRange(result.History.Count, 4, 49);
    }

    [Theory]
    [InlineData(1e30f)]
    [InlineData(1e4f)]
    public void Reports_divergence(float learningRate)
    {
        var error = Assert.Throws<TrainingDivergedException>(() => SyntheticTask.Train(_train, _validation, SyntheticTask.Options with { LearningRate = learningRate, LearningRateScheduler = new() { Shape = ScheduleShape.Constant } }));
        Assert.Equal(1, error.Epoch);
        Assert.Equal(learningRate, error.LearningRate);
        Assert.Contains("smaller learning rate", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Cancelling_keeps_the_best_so_far()
    {
        using var source = new CancellationTokenSource();
        StateDict? afterTwo = null;
        using var backend = new CpuBackend(2);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
        int batchesAfter = 0;
        var result = TrainingLoop.Run(backend, network, _train, null, SyntheticTask.Normalization, SyntheticTask.Options, progress =>
        {
            if (source.IsCancellationRequested)
                batchesAfter++;
            if (progress is { EpochResult.Epoch: 2 })
                afterTwo = network.ExportState();
            if (progress is { Epoch: 3, Step: 1 })
                source.Cancel();
        }, source.Token);
        Assert.Equal(StopReason.Cancelled, result.StopReason);
        Assert.Equal(2, result.BestEpoch);
        Assert.Equal(2, result.History.Count);
        Assert.Equal(0, batchesAfter);
        SameBits(afterTwo!, result.Weights);
    }

    [Fact]
    public void Cancelled_before_it_starts_is_no_error()
    {
        var result = SyntheticTask.Train(_train, _validation, SyntheticTask.Options, cancellation: new CancellationToken(true));
        Assert.Equal((StopReason.Cancelled, 0, 0), (result.StopReason, result.BestEpoch, result.History.Count));
    }

    [Fact]
    public void Reports_every_batch_and_every_epoch()
    {
        var reports = new List<TrainingProgress>();
        SyntheticTask.Train(_train, _validation, SyntheticTask.Options with { Epochs = 2 }, reports.Add);
        // 400 images are 13 batches of 32 at most, 203 are 7; and one report per epoch.
        Assert.Equal(2 * (13 + 7 + 1), reports.Count);
        Assert.Equal(2, reports.Count(r => r.EpochResult is not null));
        Assert.All(reports, r => Assert.True(r.ImagesPerSecond > 0 && r.Remaining >= TimeSpan.Zero && r.Elapsed >= TimeSpan.Zero && double.IsFinite(r.Loss)));
        Assert.Equal(TimeSpan.Zero, reports[^1].Remaining);
        Assert.Equal(Enumerable.Range(1, 13), reports.Where(r => r.Epoch == 2 && !r.IsValidation).Select(r => r.Step));
        Assert.Equal(SyntheticTask.Options.LearningRateScheduler.LearningRate(0.1f, 12, 13, 2), reports[12].LearningRate);
    }

    [Fact]
    public void Names_what_is_wrong_with_the_data()
    {
        void Throws(string expected, ISampleSource train, ISampleSource? validation = null, TrainingOptions? options = null)
        {
            var error = Assert.ThrowsAny<ArgumentException>(() => SyntheticTask.Train(train, validation, options ?? SyntheticTask.Options));
            Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        }
        Throws("training set is empty", new SampleSubset(_train, []));
        Throws("validation set is empty", _train, new SampleSubset(_train, []));
        Throws("All 3 training samples have label 1", new SampleSubset(_train, [1, 5, 9]));
        Throws("MinimumSamplesPerClass = 1: 2 (0), 3 (0)", new SampleSubset(_train, [0, 1, 4, 5]));
        Throws("MinimumSamplesPerClass = 101: 0 (100), 1 (100)", _train, null, SyntheticTask.Options with { MinimumSamplesPerClass = 101 });
        Throws("3 channel(s), but tiny reads 1", new InMemorySamples(new byte[3 * 144], [0], 3, 12, 12, 4));
        Throws("5 classes, but the network has 4", new InMemorySamples(new byte[144], [0], 1, 12, 12, 5));
        Throws("validation images are 11x12 pixels, the training images 12x12", _train, new InMemorySamples(new byte[12 * 11], [0], 1, 12, 11, 4));
        Throws("too small for tiny", new InMemorySamples(new byte[2 * 9], [0, 1], 1, 3, 3, 4));
        Throws("Epochs is 0", _train, null, SyntheticTask.Options with { Epochs = 0 });
    }

    [Fact]
    public void Classes_without_samples_are_allowed_where_the_option_says_so()
    {
        var result = SyntheticTask.Train(new SampleSubset(_train, Enumerable.Range(0, 100).Where(i => i % 4 < 2)), null, SyntheticTask.Options with { Epochs = 1, MinimumSamplesPerClass = 0 });
        Assert.Equal(StopReason.Completed, result.StopReason);
    }

    [Fact]
    public void A_few_samples_are_enough()
    {
        // Three images, batches of two: no batch may hold a single image.
        var result = SyntheticTask.Train(new SampleSubset(_train, [0, 1, 2]), null, SyntheticTask.Options with { BatchSize = 2, MinimumSamplesPerClass = 0 });
        Assert.True(double.IsFinite(result.History[^1].TrainingLoss));
    }
}
