using System.Collections.Immutable;
using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>Sums up, row by row, what the multiclass metrics are computed from.</summary>
/// <param name="classes">Length of the score vectors.</param>
/// <param name="topK">How many of the highest scores to look for the label in; 0 for none.</param>
internal sealed class MulticlassCounter(int classes, int topK)
{
    private const float SmallestProbability = 1e-15f;

    private readonly double[][] _confusion = [.. Enumerable.Range(0, classes).Select(_ => new double[classes])];
    private readonly double[] _rowsOfClass = new double[classes];
    private readonly double[] _lossOfClass = new double[classes];
    private readonly double[] _rowsOfRank = new double[classes + 1];
    private double _rows;
    private double _loss;

    /// <summary>Counts a row.</summary>
    /// <param name="label">The class, from 0; may be beyond the score vector.</param>
    /// <param name="scores">One finite score per class.</param>
    public void Add(int label, ReadOnlySpan<float> scores)
    {
        bool known = label < classes;
        float own = known ? scores[label] : 0;
        double loss = -Math.Log(Math.Clamp(known ? own : 0, SmallestProbability, 1));
        int rank = 0;
        int assigned = 0;
        for (int i = 0; i < classes; i++)
        {
            // Of equal scores the earlier class counts as the higher one.
            rank += scores[i] > own || (scores[i] == own && i < label) ? 1 : 0;
            assigned = scores[i] > scores[assigned] ? i : assigned;
        }

        _rows++;
        _loss += loss;
        _rowsOfRank[rank]++;
        if (!known)
        {
            return;
        }

        _rowsOfClass[label]++;
        _lossOfClass[label] += loss;
        _confusion[label][assigned]++;
    }

    /// <summary>The metrics of all rows so far.</summary>
    /// <param name="names">The classes' names.</param>
    public MulticlassClassificationMetrics ToMetrics(string[] names)
    {
        int[] occurring = [.. Enumerable.Range(0, classes).Where(c => _rowsOfClass[c] > 0)];
        double logLoss = _rows > 0 ? _loss / _rows : 0;
        double entropy = -occurring.Sum(c => _rowsOfClass[c] * Math.Log(_rowsOfClass[c] / _rows)) / _rows;
        return new MulticlassClassificationMetrics(
            microAccuracy: _rows > 0 ? _rowsOfRank[0] / _rows : 0,
            macroAccuracy: occurring.Length > 0 ? occurring.Average(c => _confusion[c][c] / _rowsOfClass[c]) : 0,
            logLoss,
            logLossReduction: (entropy - logLoss) / entropy,
            perClassLogLoss: [.. _lossOfClass.Zip(_rowsOfClass, (loss, rows) => rows > 0 ? loss / rows : 0)],
            topK,
            topKAccuracyForAllK: topK > 0 ? TopKAccuracies() : null,
            new ConfusionMatrix(_confusion, names));
    }

    private ImmutableArray<double> TopKAccuracies()
    {
        ImmutableArray<double>.Builder accuracies = ImmutableArray.CreateBuilder<double>();
        double sum = 0;
        foreach (double rows in _rowsOfRank.Take(topK))
        {
            accuracies.Add(sum += rows / _rows);
        }

        return accuracies.ToImmutable();
    }
}
