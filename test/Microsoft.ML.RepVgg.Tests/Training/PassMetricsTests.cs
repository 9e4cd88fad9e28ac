using RepVgg.Training;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Training;

public class PassMetricsTests
{
    [Fact]
    public void WeighsImagesNotBatches()
    {
        var metrics = new PassMetrics(2);
        // Three right ones with loss ln(1 + e^-1), then one wrong one with loss ln(1 + e^2).
        metrics.Add([1, 0, 1, 0, 0, 1], [0, 0, 1]);
        metrics.Add([0, 2], [0]);
        Assert.Equal(4, metrics.Images);
        Assert.Equal(0.75, metrics.Accuracy);
        Assert.Equal((3 * Math.Log(1 + Math.Exp(-1)) + Math.Log(1 + Math.Exp(2))) / 4, metrics.Loss, 1e-12);
    }

    [Fact]
    public void AcceptsTheMeanLossOfABatch()
    {
        var metrics = new PassMetrics(2);
        metrics.Add([1, 0, 1, 0, 0, 1], [0, 0, 1], 0.5);
        metrics.Add([0, 2], [0], 2.5);
        Assert.Equal(1.0, metrics.Loss, 1e-12);
    }

    [Fact]
    public void SurvivesLargeLogitsAndShowsNaN()
    {
        var metrics = new PassMetrics(3);
        metrics.Add([1e30f, 0, -1e30f], [0]);
        Assert.Equal(0, metrics.Loss, 1e-12);
        metrics.Add([0, float.NaN, 0], [0]);
        Assert.True(double.IsNaN(metrics.Loss));
    }
}
