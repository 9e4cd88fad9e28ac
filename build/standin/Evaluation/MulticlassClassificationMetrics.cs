namespace Microsoft.ML.Data;

/// <summary>How well multiclass predictions match the labels.</summary>
public sealed class MulticlassClassificationMetrics
{
    internal MulticlassClassificationMetrics(
        double microAccuracy,
        double macroAccuracy,
        double logLoss,
        double logLossReduction,
        IReadOnlyList<double> perClassLogLoss,
        int topKPredictionCount,
        IReadOnlyList<double> topKAccuracyForAllK,
        ConfusionMatrix confusionMatrix)
    {
        MicroAccuracy = microAccuracy;
        MacroAccuracy = macroAccuracy;
        LogLoss = logLoss;
        LogLossReduction = logLossReduction;
        PerClassLogLoss = perClassLogLoss;
        TopKPredictionCount = topKPredictionCount;
        TopKAccuracyForAllK = topKAccuracyForAllK;
        ConfusionMatrix = confusionMatrix;
    }

    /// <summary>Mean of -log of the score of the row's own class; scores are cut off at 1e-15 below.</summary>
    public double LogLoss { get; }

    /// <summary>How much smaller the log-loss is than that of always predicting the classes' shares, relative to it.</summary>
    public double LogLossReduction { get; }

    /// <summary>Mean over the classes that occur of the share of their rows that is predicted rightly.</summary>
    public double MacroAccuracy { get; }

    /// <summary>Share of all rows that is predicted rightly.</summary>
    public double MicroAccuracy { get; }

    /// <summary>The last of <see cref="TopKAccuracyForAllK"/>; 0 if it was not asked for.</summary>
    public double TopKAccuracy => TopKAccuracyForAllK is { Count: > 0 } all ? all[^1] : 0;

    public int TopKPredictionCount { get; }

    /// <summary>Share of rows whose own class is among the k of highest score, for k from 1; null if not asked for.</summary>
    public IReadOnlyList<double> TopKAccuracyForAllK { get; }

    public IReadOnlyList<double> PerClassLogLoss { get; }

    public ConfusionMatrix ConfusionMatrix { get; }
}
