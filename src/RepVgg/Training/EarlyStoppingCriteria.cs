namespace RepVgg.Training;

/// <summary>Ends a run when a metric has stopped improving. The metric is measured on the validation set if there is one, otherwise on the training set.</summary>
public sealed record EarlyStoppingCriteria
{
    /// <summary>The metric that must improve.</summary>
    public TrainingMetric Metric { get; init; }

    /// <summary>Minimum change of the metric that counts as an improvement; at least 0. With 0.01, an accuracy of 0.90 must rise above 0.91.</summary>
    public double MinDelta { get; init; } = 0.01;

    /// <summary>Number of consecutive epochs without an improvement after which the run ends; at least 1.</summary>
    public int Patience { get; init; } = 20;

    internal void Validate()
    {
        TrainingOptions.Require(Enum.IsDefined(Metric), nameof(Metric), Metric, "Accuracy, Loss or MeanIoU");
        TrainingOptions.Require(MinDelta >= 0 && double.IsFinite(MinDelta), nameof(MinDelta), MinDelta, "0 or more");
        TrainingOptions.Require(Patience >= 1, nameof(Patience), Patience, "1 or more");
    }

    /// <summary>Whether the run ends after the last epoch in <paramref name="history"/>.</summary>
    internal bool ShouldStop(IReadOnlyList<EpochResult> history)
    {
        double best = double.NegativeInfinity;
        int since = 0;
        foreach (var epoch in history)
        {
            double value = epoch.Score(Metric, ofTraining: epoch.ValidationLoss is null);
            if (value > best + MinDelta)
                (best, since) = (value, 0);
            else
                since++;
        }
        return since >= Patience;
    }
}
