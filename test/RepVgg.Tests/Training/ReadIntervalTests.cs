using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using Xunit;

namespace RepVgg.Tests.Training;

/// <summary>Devices that should not be waited for every step: their losses are read every few steps.</summary>
public class ReadIntervalTests
{
    private static readonly InMemorySamples _train = SyntheticTask.Samples(200, 1), _validation = SyntheticTask.Samples(70, 2);

    [Theory]
    [InlineData(3)]
    [InlineData(1000)]
    public void Figures_and_weights_do_not_depend_on_it(int interval)
    {
        var steps = new List<(bool IsValidation, int Step, double Accuracy)>();
        var expected = Train(1, SyntheticTask.Options, null);
        var actual = Train(interval, SyntheticTask.Options, progress => steps.Add((progress.IsValidation, progress.Step, progress.Accuracy)));
        TrainingLoopTests.SameBits(expected.Weights, actual.Weights);
        Assert.Equal(expected.History.Select(epoch => (epoch.TrainingAccuracy, epoch.ValidationAccuracy)), actual.History.Select(epoch => (epoch.TrainingAccuracy, epoch.ValidationAccuracy)));
        foreach (var (before, now) in expected.History.Zip(actual.History))
        {
            Assert.Equal(before.TrainingLoss, now.TrainingLoss, 1e-12);
            Assert.Equal(before.ValidationLoss!.Value, now.ValidationLoss!.Value, 1e-12);
        }
        // 200 images are seven batches: read after steps 3, 6 and 7, or after 7 only.
        Assert.Equal(interval == 3 ? 3 : 7, steps.First(step => step.Accuracy > 0).Step);
    }

    [Fact]
    public void Divergence_is_still_seen()
    {
        var error = Assert.Throws<TrainingDivergedException>(() => Train(3, SyntheticTask.Options with { LearningRate = 1e20f, LearningRateScheduler = new(), Optimizer = new SgdOptions(Momentum: 0) }, null));
        Assert.True(error.Step % 3 == 0 || error.Step == 7, $"step {error.Step}");
    }

    private static TrainingResult Train(int interval, TrainingOptions options, Action<TrainingProgress>? progress)
    {
        using var backend = new AlteredBackend { ReadInterval = interval };
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, 3);
        return TrainingLoop.Run(backend, network, _train, _validation, SyntheticTask.Normalization, options, progress);
    }
}
