using RepVgg.Training;
using Xunit;

namespace RepVgg.Tests.Training;

public class LearningRateSchedulerTests
{
    [Fact]
    public void Cosine_falls_from_the_peak_to_the_final_share()
    {
        var schedule = new LearningRateScheduler { FinalFraction = 0.1 };
        const int Steps = 10, Epochs = 4;
        Assert.Equal(0.4f, schedule.LearningRate(0.4f, 0, Steps, Epochs));
        Assert.Equal(0.4f * 0.55f, schedule.LearningRate(0.4f, 20, Steps, Epochs), 1e-6f);
        for (int i = 0; i < 40; i++)
        {
            double expected = 0.04 + 0.36 * 0.5 * (1 + Math.Cos(Math.PI * i / 40));
            Assert.Equal(expected, schedule.LearningRate(0.4f, i, Steps, Epochs), 1e-7);
        }
        Assert.Equal(0.04f, schedule.LearningRate(0.4f, 40, Steps, Epochs), 1e-7f);
    }

    [Fact]
    public void Warm_up_rises_linearly_and_the_cosine_starts_after_it()
    {
        var schedule = new LearningRateScheduler { WarmUpEpochs = 1.5 };
        float[] rates = [.. Enumerable.Range(0, 40).Select(i => schedule.LearningRate(0.3f, i, 10, 4))];
        for (int i = 0; i < 15; i++)
            Assert.Equal(0.3 * (i + 1) / 15, rates[i], 1e-7);
        Assert.Equal(0.3f, rates[15]);
        for (int i = 15; i < 40; i++)
            Assert.Equal(0.15 * (1 + Math.Cos(Math.PI * (i - 15) / 25)), rates[i], 1e-7);
    }

    [Fact]
    public void Without_a_prefix_the_schedule_counts_from_the_first_step()
    {
        var cosine = new LearningRateScheduler { WarmUpEpochs = 1.5, WarmUpPrefix = false };
        var polynomial = new LearningRateScheduler { WarmUpEpochs = 1.5, WarmUpPrefix = false, Shape = ScheduleShape.Polynomial, Power = 2 };
        for (int i = 0; i < 40; i++)
        {
            double warmUp = 0.3 * (i + 1) / 15, share = i / 40.0;
            Assert.Equal(i < 15 ? warmUp : 0.15 * (1 + Math.Cos(Math.PI * share)), cosine.LearningRate(0.3f, i, 10, 4), 1e-7);
            Assert.Equal(i < 15 ? warmUp : 0.3 * (1 - share) * (1 - share), polynomial.LearningRate(0.3f, i, 10, 4), 1e-7);
        }
    }

    [Fact]
    public void Step_multiplies_every_few_epochs()
    {
        var schedule = new LearningRateScheduler { Shape = ScheduleShape.Step, StepSize = 3, Gamma = 0.2 };
        Assert.Equal(0.1f, schedule.LearningRate(0.1f, 29, 10, 9), 1e-9f);
        Assert.Equal(0.02f, schedule.LearningRate(0.1f, 30, 10, 9), 1e-9f);
        Assert.Equal(0.004f, schedule.LearningRate(0.1f, 89, 10, 9), 1e-9f);
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(2, 0.1)]
    [InlineData(0.9, 0)]
    [InlineData(0.5, 1)]
    public void Polynomial_falls_with_its_power(double power, double final)
    {
        var schedule = new LearningRateScheduler { Shape = ScheduleShape.Polynomial, Power = power, FinalFraction = final, WarmUpEpochs = 1 };
        for (int i = 0; i < 10; i++)
            Assert.Equal(0.3 * (i + 1) / 10, schedule.LearningRate(0.3f, i, 10, 4), 1e-7);
        for (int i = 10; i < 40; i++)
            Assert.Equal(0.3 * (final + (1 - final) * Math.Pow((40 - i) / 30.0, power)), schedule.LearningRate(0.3f, i, 10, 4), 1e-7);
        Assert.Equal(0.3 * final, schedule.LearningRate(0.3f, 40, 10, 4), 1e-7);
    }

    /// <summary>The rates of torch.optim.lr_scheduler.PolynomialLR of PyTorch 1.13 with lr=0.4 and total_iters=8.</summary>
    [Theory]
    [InlineData(1.0, new[] { 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05 })]
    [InlineData(2.0, new[] { 0.4, 0.30625, 0.225, 0.15625, 0.1, 0.05625, 0.025, 0.00625 })]
    [InlineData(0.9, new[] { 0.4, 0.354704942, 0.308755803, 0.262030597, 0.214354693, 0.165458138, 0.114869835, 0.0615572207 })]
    public void Polynomial_is_PyTorchs(double power, double[] expected)
    {
        var schedule = new LearningRateScheduler { Shape = ScheduleShape.Polynomial, Power = power };
        for (int i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], schedule.LearningRate(0.4f, i, 4, 2), 1e-7);
    }

    [Fact]
    public void Constant_stays()
    {
        var schedule = new LearningRateScheduler { Shape = ScheduleShape.Constant, WarmUpEpochs = 1 };
        Assert.Equal(0.05f, schedule.LearningRate(0.1f, 4, 10, 2));
        Assert.All(Enumerable.Range(10, 10), i => Assert.Equal(0.1f, schedule.LearningRate(0.1f, i, 10, 2)));
    }

    [Fact]
    public void Warm_up_longer_than_the_run_never_passes()
    {
        var schedule = new LearningRateScheduler { WarmUpEpochs = 5 };
        Assert.Equal(1f, schedule.LearningRate(1f, 19, 10, 2));
        Assert.Equal(0.5f, schedule.LearningRate(1f, 9, 10, 2));
    }
}
