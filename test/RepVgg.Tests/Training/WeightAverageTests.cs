using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Tests.Training;

public class WeightAverageTests
{
    private static readonly InMemorySamples _train = SyntheticTask.Samples(200, 1), _validation = SyntheticTask.Samples(50, 2);

    private static TrainingOptions Options(string? checkpoint = null) => SyntheticTask.Options with { Epochs = 4, EmaDecay = 0.95f, CheckpointPath = checkpoint };

    [Fact]
    public void The_averaged_weights_are_validated_and_returned_and_do_not_influence_the_training()
    {
        var averaged = SyntheticTask.Train(_train, _validation, Options());
        var plain = SyntheticTask.Train(_train, _validation, Options() with { EmaDecay = 0 });
        Assert.Equal(plain.History.Select(epoch => epoch.TrainingLoss), averaged.History.Select(epoch => epoch.TrainingLoss));
        Assert.NotEqual(plain.History.Select(epoch => epoch.ValidationLoss), averaged.History.Select(epoch => epoch.ValidationLoss));

        using var backend = new CpuBackend(1);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, seed: 0);
        network.ImportState(averaged.Weights);
        Assert.Equal(averaged.History[averaged.BestEpoch - 1].ValidationLoss!.Value, Loss(backend, network), 1e-4);
    }

    [Fact]
    public void The_average_is_that_of_the_steps()
    {
        // One step an epoch, and runs that are cut after each: so every step's weights can be seen.
        var few = SyntheticTask.Samples(32, 5);
        var plain = Options() with { Epochs = 3, BatchSize = 32, EmaDecay = 0 };
        double[] average = After(0), decays = [0.1, 2.0 / 11, 0.2];
        for (int step = 1; step <= 3; step++)
        {
            double decay = decays[step - 1];
            average = [.. average.Zip(After(step), (old, weight) => decay * old + (1 - decay) * weight)];
        }
        var result = SyntheticTask.Train(few, null, plain with { EmaDecay = 0.2f });
        Compare.Close([.. average.Select(value => (float)value)], Flat(result.Weights), 1e-6);

        double[] After(int steps)
        {
            using var source = new CancellationTokenSource();
            if (steps == 0)
                source.Cancel();
            var cut = SyntheticTask.Train(few, null, plain, progress =>
            {
                if (progress.Epoch == steps)
                    source.Cancel();
            }, source.Token);
            return [.. Flat(cut.Weights).Select(value => (double)value)];
        }

        static float[] Flat(StateDict state) => [.. state.SelectMany(item => item.Value.Values)];
    }

    [Fact]
    public void A_cut_run_ends_with_the_same_bits()
    {
        using var folder = new TemporaryFolder();
        var whole = SyntheticTask.Train(_train, _validation, Options());
        var options = Options(folder.File("run.checkpoint"));
        using var source = new CancellationTokenSource();
        SyntheticTask.Train(_train, _validation, options, progress =>
        {
            if (progress.Epoch == 3 && progress.Step == 2 && !progress.IsValidation)
                source.Cancel();
        }, source.Token);
        var resumed = SyntheticTask.Train(_train, _validation, options, networkSeed: 99);
        Assert.Equal(2, resumed.ResumedAfterEpoch);
        Assert.Equal(SyntheticTask.WithoutTimes(whole.History), SyntheticTask.WithoutTimes(resumed.History));
        TrainingLoopTests.SameBits(whole.Weights, resumed.Weights);
    }

    [Theory]
    [InlineData(-0.1f)]
    [InlineData(1f)]
    [InlineData(float.NaN)]
    public void Impossible_decays_are_refused(float decay) =>
        Assert.Contains("EmaDecay", Assert.Throws<ArgumentException>(() => SyntheticTask.Train(_train, null, Options() with { EmaDecay = decay })).Message, StringComparison.Ordinal);

    private static double Loss(CpuBackend backend, TrainingNetwork network)
    {
        double sum = 0;
        var pixels = new float[SyntheticTask.Size * SyntheticTask.Size];
        for (int i = 0; i < _validation.Count; i++)
        {
            int label = _validation.Read(i, pixels);
            for (int j = 0; j < pixels.Length; j++)
                pixels[j] = (pixels[j] - SyntheticTask.Normalization.Mean[0]) * SyntheticTask.Normalization.Scale[0];
            using var step = backend.BeginStep(training: false);
            var value = new float[1];
            backend.CopyOut(backend.SoftmaxCrossEntropy(network.Forward(backend.CreateInput([1, 1, SyntheticTask.Size, SyntheticTask.Size], pixels)), [label], 0), value);
            sum += value[0];
        }
        return sum / _validation.Count;
    }
}
