using RepVgg.Training;
using Xunit;

namespace RepVgg.Tests.Training;

public class SegmentationMetricsTests
{
    [Fact]
    public void Metrics_are_those_of_the_sets_of_pixels()
    {
        const int Classes = 5, Pixels = 5000;
        var random = new Random(4);
        // Class 3 is predicted and never labelled; class 4 does not occur.
        (int Label, int Prediction)[] pixels = [.. Enumerable.Range(0, Pixels).Select(_ => (random.Next(3), random.Next(4))).Select(pair => random.Next(2) == 0 ? (pair.Item1, pair.Item1) : pair)];
        long[] counts = new long[Classes * Classes];
        foreach (var (label, prediction) in pixels)
            counts[label * Classes + prediction]++;

        var metrics = new SegmentationMetrics(counts);

        double[] expected = [.. Enumerable.Range(0, Classes).Select(c => (double)pixels.Count(p => p == (c, c)) / pixels.Count(p => p.Label == c || p.Prediction == c))];
        Assert.Equal(expected, metrics.PerClassIoU);
        Assert.Equal(0, metrics.PerClassIoU[3]);
        Assert.Equal(double.NaN, metrics.PerClassIoU[4]);
        Assert.Equal(expected.Take(4).Average(), metrics.MeanIoU, 1e-12);
        Assert.Equal(pixels.Count(p => p.Label == p.Prediction) / (double)Pixels, metrics.PixelAccuracy);
        Assert.Equal((Classes, (long)Pixels), (metrics.Classes, metrics.LabelledPixels));
        Assert.Equal(pixels.Count(p => p == (1, 2)), metrics.Count(1, 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => metrics.Count(0, Classes));
    }

    [Fact]
    public void Without_labelled_pixels_the_metrics_are_not_numbers()
    {
        var metrics = new SegmentationMetrics([0, 0, 0, 0]);
        Assert.Equal((double.NaN, double.NaN, 0L), (metrics.MeanIoU, metrics.PixelAccuracy, metrics.LabelledPixels));
        Assert.All(metrics.PerClassIoU, value => Assert.Equal(double.NaN, value));
    }

    [Fact]
    public void What_is_no_confusion_matrix_is_refused()
    {
        foreach (long[] counts in (long[][])[[], [1, 2, 3], [1, 2, 3, -4]])
            Assert.Contains("confusion matrix", Assert.Throws<ArgumentException>(() => new SegmentationMetrics(counts)).Message);
    }
}
