namespace RepVgg.Training;

/// <summary>Metric accumulator for one pass: mean loss and accuracy over all images, each image with equal weight, and elapsed time.</summary>
internal sealed class PassMetrics
{
    private double _lossSum;
    private long _correct;

    public long Images { get; private set; }

    /// <summary>Time from the start of the pass to the end of its latest step.</summary>
    public TimeSpan Time { get; set; }

    public double Loss => Images == 0 ? 0 : _lossSum / Images;

    public double Accuracy => Images == 0 ? 0 : (double)_correct / Images;

    /// <summary>Adds the totals of one or more batches.</summary>
    /// <returns>Mean loss of these batches.</returns>
    public double Add((double LossSum, long Correct, long Images) totals)
    {
        _lossSum += totals.LossSum;
        _correct += totals.Correct;
        Images += totals.Images;
        return totals.LossSum / Math.Max(totals.Images, 1);
    }
}
