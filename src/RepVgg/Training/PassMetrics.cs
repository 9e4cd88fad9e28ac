namespace RepVgg.Training;

/// <summary>Loss and accuracy over all images of a pass, each image counted once whatever its batch.</summary>
internal sealed class PassMetrics
{
    private double _lossSum;
    private long _correct;

    public long Images { get; private set; }

    public double Loss => Images == 0 ? 0 : _lossSum / Images;

    public double Accuracy => Images == 0 ? 0 : (double)_correct / Images;

    /// <summary>Adds the totals of some batches.</summary>
    /// <returns>Their mean loss.</returns>
    public double Add((double LossSum, long Correct, long Images) totals)
    {
        _lossSum += totals.LossSum;
        _correct += totals.Correct;
        Images += totals.Images;
        return totals.LossSum / Math.Max(totals.Images, 1);
    }
}
