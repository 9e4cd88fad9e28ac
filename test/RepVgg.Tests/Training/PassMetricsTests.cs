using RepVgg.Backends;
using RepVgg.Training;
using Xunit;

namespace RepVgg.Tests.Training;

public class PassMetricsTests
{
    [Fact]
    public void Weighs_images_not_batches()
    {
        var metrics = new PassMetrics();
        Assert.Equal(0.5, metrics.Add(new MetricTotals(1.5, 3, 3, 3)));
        Assert.Equal(2.5, metrics.Add(new MetricTotals(2.5, 0, 0, 1)));
        Assert.Equal(4, metrics.Images);
        Assert.Equal(0.75, metrics.Accuracy);
        Assert.Equal(1.0, metrics.Loss);
    }

    [Fact]
    public void Shows_NaN()
    {
        var metrics = new PassMetrics();
        metrics.Add(new MetricTotals(double.NaN, 0, 0, 1));
        metrics.Add(new MetricTotals(1, 1, 1, 1));
        Assert.True(double.IsNaN(metrics.Loss));
    }
}
