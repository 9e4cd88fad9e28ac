using RepVgg.Training;
using Xunit;

namespace RepVgg.Tests.Training;

public class DivergenceDetectorTests
{
    [Theory]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    public void A_loss_that_is_no_number_ends_the_run_at_once(double loss)
    {
        var error = Assert.Throws<TrainingDivergedException>(() => new DivergenceDetector(10).Check(loss, 3, 17, 0.5f));
        Assert.Equal((3, 17, 0.5f), (error.Epoch, error.Step, error.LearningRate));
        Assert.Contains("epoch 3, step 17", error.Message, StringComparison.Ordinal);
        Assert.Contains("learning rate 0.5", error.Message, StringComparison.Ordinal);
        Assert.Contains("0.05", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_high_plateau_ends_the_run_a_spike_does_not()
    {
        var detector = new DivergenceDetector(10);
        for (int step = 1; step <= 100; step++)
            detector.Check(step == 50 ? 100 : 2.3, 1, step, 0.1f);
        Assert.Throws<TrainingDivergedException>(() =>
        {
            for (int step = 101; step <= 200; step++)
                detector.Check(60, 1, step, 0.1f);
        });
    }
}
