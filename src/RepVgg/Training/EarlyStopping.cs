namespace RepVgg.Training;

/// <summary>Ends a run that has stopped improving: on the validation set where there is one, else on the training set.</summary>
public sealed record EarlyStopping
{
    /// <summary>What must improve.</summary>
    public TrainingMetric Metric { get; init; }

    /// <summary>Smaller gains do not count; at least 0. An accuracy of 0.90 with 0.01 must reach more than 0.91.</summary>
    public double MinDelta { get; init; } = 0.01;

    /// <summary>Epochs without a gain that are waited for; at least 1.</summary>
    public int Patience { get; init; } = 20;

    internal void Validate()
    {
        TrainingOptions.Require(Enum.IsDefined(Metric), nameof(Metric), Metric, "Accuracy or Loss");
        TrainingOptions.Require(MinDelta >= 0 && double.IsFinite(MinDelta), nameof(MinDelta), MinDelta, "0 or more");
        TrainingOptions.Require(Patience >= 1, nameof(Patience), Patience, "1 or more");
    }

    /// <summary>Whether the run ends after the last of these epochs.</summary>
    internal bool ShouldStop(IReadOnlyList<EpochResult> history)
    {
        double best = double.NegativeInfinity;
        int since = 0;
        foreach (var epoch in history)
        {
            double value = Metric == TrainingMetric.Accuracy
                ? epoch.ValidationAccuracy ?? epoch.TrainingAccuracy
                : -(epoch.ValidationLoss ?? epoch.TrainingLoss);
            if (value > best + MinDelta)
                (best, since) = (value, 0);
            else
                since++;
        }
        return since >= Patience;
    }
}
