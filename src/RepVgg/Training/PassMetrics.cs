using RepVgg.Backends;

namespace RepVgg.Training;

/// <summary>Metrics of one pass over a set of images, from the totals of its batches, and the time that it took.</summary>
internal sealed class PassMetrics
{
    private double _lossSum;
    private long _correct, _correctTop5;
    private long[]? _counts;

    public long Images { get; private set; }

    /// <summary>Time from the start of the pass to the end of its latest step.</summary>
    public TimeSpan Time { get; set; }

    /// <summary>Mean loss over all images, each with equal weight.</summary>
    public double Loss => Images == 0 ? 0 : _lossSum / Images;

    /// <summary>Share of the images that are classified correctly; for segmentation, share of the labelled pixels.</summary>
    public double Accuracy => Segmentation is { } segmentation ? NumberOr0(segmentation.PixelAccuracy) : Images == 0 ? 0 : (double)_correct / Images;

    /// <summary>Share of the images whose class is among the five most probable ones; 0 for segmentation.</summary>
    public double Top5Accuracy => Images == 0 ? 0 : (double)_correctTop5 / Images;

    /// <summary>Mean intersection over union of the classes; null for classification.</summary>
    public double? MeanIoU => Segmentation is { } segmentation ? NumberOr0(segmentation.MeanIoU) : null;

    /// <summary>The metrics of segmentation; null for classification.</summary>
    public SegmentationMetrics? Segmentation
    {
        get => field ??= _counts is null ? null : new SegmentationMetrics(_counts);
        private set;
    }

    /// <summary>Adds the totals of one or more batches of labelled images.</summary>
    /// <returns>Mean loss of these batches.</returns>
    public double Add(MetricTotals totals)
    {
        _correct += totals.Correct;
        _correctTop5 += totals.CorrectTop5;
        return Add(totals.LossSum, totals.Images);
    }

    /// <summary>Adds the totals of one or more batches of images with masks.</summary>
    /// <returns>Mean loss of these batches.</returns>
    public double Add(ConfusionTotals totals)
    {
        _counts ??= new long[totals.Counts.Length];
        for (int i = 0; i < _counts.Length; i++)
            _counts[i] += totals.Counts[i];
        Segmentation = null;
        return Add(totals.LossSum, totals.Images);
    }

    private double Add(double lossSum, long images)
    {
        _lossSum += lossSum;
        Images += images;
        return lossSum / Math.Max(images, 1);
    }

    /// <summary>The value; 0 if no pixel was labelled.</summary>
    private static double NumberOr0(double value) => double.IsNaN(value) ? 0 : value;
}
