using RepVgg.Backends.Cpu;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Training;
using Xunit;

namespace RepVgg.Tests.Training;

/// <summary>The search for a learning rate: the rule that suggests one, and the steps on a network.</summary>
public class LearningRateCurveTests
{
    private static LearningRateCurve Curve(Func<double, double> loss, int steps = 100, double first = 1e-7, double last = 10)
    {
        var curve = new LearningRateCurve();
        for (int step = 0; step < steps; step++)
        {
            double rate = LearningRateCurve.RateOf(first, last, step, steps);
            if (!curve.Add(rate, loss(rate)))
                break;
        }
        return curve;
    }

    [Fact]
    public void The_rates_rise_exponentially_from_the_first_to_the_last()
    {
        Assert.Equal(1e-7, LearningRateCurve.RateOf(1e-7, 10, 0, 100), 1e-13);
        Assert.Equal(10, LearningRateCurve.RateOf(1e-7, 10, 99, 100), 1e-5);
        Assert.Equal(1e-3, LearningRateCurve.RateOf(1e-7, 10, 50, 101), 1e-9);
    }

    [Fact]
    public void A_valley_suggests_a_tenth_of_its_lowest_rate()
    {
        // A parabola over ln(rate) with its minimum at 0.01. With 4,000 steps, the smoothing moves it by less than 10 steps, of 0.5 % each.
        var curve = Curve(rate => 1 + 0.02 * Math.Pow(Math.Log(rate / 0.01), 2), steps: 4000);
        Assert.InRange(curve.Suggestion!.Value, 0.001, 0.00105);
        Assert.Equal(4000, curve.Points.Count);
    }

    [Fact]
    public void Smoothed_losses_are_weighted_means()
    {
        double[] losses = [3, 5, 2, 8];
        var curve = new LearningRateCurve();
        for (int i = 0; i < losses.Length; i++)
        {
            Assert.True(curve.Add(i + 1, losses[i]));
            double[] weights = [.. Enumerable.Range(0, i + 1).Select(age => Math.Pow(0.9, i - age))];
            Assert.Equal(losses.Take(i + 1).Zip(weights, (loss, weight) => loss * weight).Sum() / weights.Sum(), curve.Points[i].SmoothedLoss, 1e-12);
        }
    }

    [Fact]
    public void Gradient_descent_on_a_parabola_ends_where_it_diverges()
    {
        // The loss a x^2 / 2 falls while the rate is less than 2 / a, and rises above. The noise of the gradient keeps x from 0.
        const double A = 50;
        var random = new Random(1);
        double x = 1;
        var curve = Curve(
            rate =>
            {
                double loss = A * x * x / 2 + 0.1;
                x -= rate * (A * x + 10 * (random.NextDouble() - 0.5));
                return loss;
            });
        var lowest = curve.Lowest!;
        Assert.InRange(lowest.LearningRate, 1 / A, 4 / A);
        Assert.Equal(lowest.LearningRate / 10, curve.Suggestion!.Value, 1e-15);
        Assert.True(curve.Points.Count < 100);
        Assert.True(curve.Points[^1].SmoothedLoss > 4 * lowest.SmoothedLoss);
        Assert.All(curve.Points.SkipLast(1).SkipWhile(point => point != lowest), point => Assert.True(point.SmoothedLoss <= 4 * lowest.SmoothedLoss));
    }

    [Fact]
    public void A_loss_that_does_not_fall_suggests_nothing()
    {
        Assert.Null(Curve(_ => 2).Suggestion);
        Assert.Null(Curve(rate => 2 + rate).Suggestion);
        Assert.Null(new LearningRateCurve().Suggestion);
        for (int seed = 1; seed <= 10; seed++)
        {
            var random = new Random(seed);
            Assert.Null(Curve(_ => 1 + random.NextDouble()).Suggestion);
        }
    }

    [Fact]
    public void A_small_loss_of_the_first_batch_is_no_minimum()
    {
        int step = 0;
        var curve = Curve(rate => step++ == 0 ? 0.01 : 1 + 0.02 * Math.Pow(Math.Log(rate / 0.01), 2));
        Assert.Equal(100, curve.Points.Count);
        Assert.InRange(curve.Suggestion!.Value, 0.001, 0.01);
    }

    [Fact]
    public void A_loss_that_is_not_finite_ends_the_curve_and_is_left_out()
    {
        var curve = Curve(rate => rate < 1e-3 ? 1 - 300 * rate : double.NaN);
        Assert.All(curve.Points, point => Assert.True(double.IsFinite(point.SmoothedLoss) && point.LearningRate < 1e-3));
        Assert.Equal(curve.Points[^1].LearningRate / 10, curve.Suggestion!.Value, 1e-15);
    }

    public static TheoryData<string> Optimizers => ["SGD", "AdamW", "RepOptimizer"];

    [Theory]
    [MemberData(nameof(Optimizers))]
    public void A_network_learns_at_the_suggested_rate_and_more_than_a_hundredth_of_it(string name)
    {
        var architecture = SyntheticTask.Architecture;
        OptimizerOptions optimizer = name switch
        {
            "SGD" => new SgdOptions(),
            "AdamW" => new AdamWOptions(),
            _ => new RepOptimizerOptions { Scales = RepOptimizerScales.Initial(architecture) },
        };
        if (optimizer is RepOptimizerOptions)
            architecture = architecture with { TrainingForm = RepVgg.Architectures.TrainingForm.Plain };
        var train = SyntheticTask.Samples(128, seed: 1);
        // Options of a training that the search does not use.
        var options = SyntheticTask.Options with { Optimizer = optimizer, LearningRate = 1e6f, EmaDecay = 0.9f, CheckpointPath = "missing/folder/checkpoint" };
        var reports = new List<TrainingProgress>();

        var curve = Search(2, reports.Add);
        double suggestion = curve.Suggestion!.Value;
        Assert.Equal(curve.Points, Search(1, null).Points);
        // Four batches of an epoch: the images are read several times.
        Assert.True(curve.Points.Count > 40);
        Assert.Equal(Enumerable.Range(1, curve.Points.Count), reports.Select(report => report.Step));
        Assert.All(reports, report => Assert.Equal((1, 1, 100, false), (report.Epoch, report.Epochs, report.Steps, report.IsValidation)));
        Assert.Equal(curve.Points.Select(point => (float)point.LearningRate), reports.Select(report => report.LearningRate));

        var run = options with { Epochs = 3, EmaDecay = 0, CheckpointPath = null, LearningRateScheduler = new() };
        double Loss(double rate) => SyntheticTask.Train(train, null, run with { LearningRate = (float)rate }, architecture: architecture).History[^1].TrainingLoss;
        Assert.True(Loss(suggestion) < Loss(suggestion / 100) - 0.1, $"{suggestion}: {Loss(suggestion)}, {Loss(suggestion / 100)}");

        LearningRateCurve Search(int threads, Action<TrainingProgress>? progress)
        {
            using var backend = new CpuBackend(threads);
            using var network = new TrainingNetwork(architecture, SyntheticTask.Classes, backend, seed: 3);
            return TrainingLoop.FindLearningRate(backend, network, train, SyntheticTask.Normalization, options, (1e-6, 10, 100), progress)!;
        }
    }

    [Fact]
    public void The_search_can_be_cancelled()
    {
        using var source = new CancellationTokenSource();
        using var backend = new CpuBackend(2);
        using var network = new TrainingNetwork(SyntheticTask.Architecture, SyntheticTask.Classes, backend, seed: 3);
        int steps = 0;
        Assert.Null(TrainingLoop.FindLearningRate(
            backend, network, SyntheticTask.Samples(64, seed: 1), SyntheticTask.Normalization, SyntheticTask.Options, (1e-6, 10, 100),
            _ =>
            {
                if (++steps == 5)
                    source.Cancel();
            }, source.Token));
        Assert.Equal(5, steps);
    }
}
