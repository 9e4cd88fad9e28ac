using Microsoft.ML;
using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Multiclass metrics against values worked out by hand.</summary>
public sealed class MulticlassEvaluateTests
{
    public sealed class Scored
    {
        [KeyType(3)]
        public uint Label { get; set; }

        [VectorType(3)]
        public float[] Score { get; set; } = [];

        [KeyType(3)]
        public uint PredictedLabel { get; set; }
    }

    public sealed class FloatScored
    {
        public float Truth { get; set; }

        [VectorType(2)]
        public float[] P { get; set; } = [];

        public uint Guess { get; set; }
    }

    public sealed class ByteScored
    {
        [KeyType(2)]
        public byte Label { get; set; }

        [VectorType(2)]
        public float[] Score { get; set; } = [];

        public float PredictedLabel { get; set; }
    }

    /// <summary>Truth 0, 0, 1, 2, 2; predicted 0, 1, 1, 2, 0; the right class on rank 1, 2, 1, 1, 3.</summary>
    private static readonly Scored[] _rows =
    [
        new() { Label = 0, Score = [0.5f, 0.25f, 0.25f] },
        new() { Label = 0, Score = [0.25f, 0.625f, 0.125f] },
        new() { Label = 1, Score = [0.125f, 0.75f, 0.125f] },
        new() { Label = 2, Score = [0, 0, 1] },
        new() { Label = 2, Score = [0.5f, 0.5f, 0] },
    ];

    [Fact]
    public void MetricsAreAsDefined()
    {
        MulticlassClassificationMetrics metrics = Evaluate(_rows, topK: 3);

        // A score of 0 counts as 1e-15.
        double[] losses = [Math.Log(2), Math.Log(4), -Math.Log(0.75), 0, -Math.Log(1e-15f)];
        double logLoss = losses.Average();
        double prior = -((2 * 0.4 * Math.Log(0.4)) + (0.2 * Math.Log(0.2)));
        Close(3 / 5.0, metrics.MicroAccuracy);
        Close((0.5 + 1 + 0.5) / 3, metrics.MacroAccuracy);
        Close(logLoss, metrics.LogLoss);
        Close((prior - logLoss) / prior, metrics.LogLossReduction);
        Assert.Equal(3, metrics.PerClassLogLoss.Count);
        Close((losses[0] + losses[1]) / 2, metrics.PerClassLogLoss[0]);
        Close(losses[2], metrics.PerClassLogLoss[1]);
        Close((losses[3] + losses[4]) / 2, metrics.PerClassLogLoss[2]);
        Assert.Equal(3, metrics.TopKPredictionCount);
        Assert.Equal(3, metrics.TopKAccuracyForAllK.Count);
        Close(0.6, metrics.TopKAccuracyForAllK[0]);
        Close(0.8, metrics.TopKAccuracyForAllK[1]);
        Close(1, metrics.TopKAccuracyForAllK[2]);
        Close(1, metrics.TopKAccuracy);
    }

    [Fact]
    public void TheConfusionMatrixHasTruthInRows()
    {
        ConfusionMatrix matrix = Evaluate(_rows).ConfusionMatrix;

        Assert.Equal(3, matrix.NumberOfClasses);
        Assert.Equal([1, 1, 0], matrix.Counts[0]);
        Assert.Equal([0, 1, 0], matrix.Counts[1]);
        Assert.Equal([1, 0, 1], matrix.Counts[2]);
        Assert.Equal([0.5, 1, 0.5], matrix.PerClassRecall);
        Assert.Equal([0.5, 0.5, 1], matrix.PerClassPrecision);
        Assert.Equal(1, matrix.GetCountForClassPair(predictedClassIndicatorIndex: 0, actualClassIndicatorIndex: 2));
        Assert.Equal(0, matrix.GetCountForClassPair(predictedClassIndicatorIndex: 2, actualClassIndicatorIndex: 0));
        Assert.ThrowsAny<ArgumentException>(() => matrix.GetCountForClassPair(3, 0));
        Assert.ThrowsAny<ArgumentException>(() => matrix.GetCountForClassPair(0, -1));
    }

    [Fact]
    public void TheTableIsReadable()
    {
        string[] lines =
        [
            "",
            "Confusion table",
            "          ||========================",
            "PREDICTED ||     0 |     1 |     2 | Recall",
            "TRUTH     ||========================",
            "        0 ||     1 |     1 |     0 | 0.5000",
            "        1 ||     0 |     1 |     0 | 1.0000",
            "        2 ||     1 |     0 |     1 | 0.5000",
            "          ||========================",
            "Precision ||0.5000 |0.5000 |1.0000 |",
            "",
        ];

        Assert.Equal(string.Join(Environment.NewLine, lines), Evaluate(_rows).ConfusionMatrix.GetFormattedConfusionTable());
    }

    [Theory]
    [InlineData("ant", "bee", "cow", "      ant |", "PREDICTED ||   ant |   bee |   cow | Recall")]
    [InlineData("ant", "bumblebee", "cow", "0.       ant |", "PREDICTED    ||     0 |     1 |     2 | Recall")]
    public void TheTableNamesClassesWhereNamesFit(string first, string second, string third, string row, string header)
    {
        MLContext context = new(1);
        string[] names = [first, second, third];
        SchemaDefinition definition = SchemaDefinition.Create(typeof(Scored));
        definition["Score"].AddAnnotation(
            "SlotNames",
            new VBuffer<ReadOnlyMemory<char>>(3, [.. names.Select(name => name.AsMemory())]),
            new VectorDataViewType(TextDataViewType.Instance, 3));

        string table = context.MulticlassClassification.Evaluate(context.Data.LoadFromEnumerable(_rows, definition))
            .ConfusionMatrix.GetFormattedConfusionTable();

        Assert.Contains(row, table);
        Assert.Contains(header, table);
    }

    [Fact]
    public void WithoutTopKThereIsNone()
    {
        MulticlassClassificationMetrics metrics = Evaluate(_rows);

        Assert.Equal(0, metrics.TopKPredictionCount);
        Assert.Equal(0, metrics.TopKAccuracy);
        Assert.Null(metrics.TopKAccuracyForAllK);
    }

    [Fact]
    public void OfEqualScoresTheEarlierClassIsTheHigher()
    {
        MulticlassClassificationMetrics metrics = Evaluate(
        [
            new() { Label = 0, Score = [0.5f, 0.5f, 0] },
            new() { Label = 1, Score = [0.5f, 0.5f, 0] },
        ]);

        Assert.Equal(0.5, metrics.MicroAccuracy);
        Assert.Equal([1, 0, 0], metrics.ConfusionMatrix.Counts[0]);
        Assert.Equal([1, 0, 0], metrics.ConfusionMatrix.Counts[1]);
    }

    [Fact]
    public void ThePredictedLabelColumnMustExistButIsNotRead()
    {
        Scored[] wrong = [.. _rows.Select(row => new Scored { Label = row.Label, Score = row.Score, PredictedLabel = 9 })];

        Assert.Equal(Evaluate(_rows).MicroAccuracy, Evaluate(wrong).MicroAccuracy);
    }

    [Fact]
    public void RowsWithoutLabelOrWithBadScoresDoNotCount()
    {
        MulticlassClassificationMetrics metrics = Evaluate(
        [
            .. _rows,
            new() { Label = 3, Score = [1, 0, 0] },
            new() { Label = 1, Score = [float.NaN, 0, 0] },
            new() { Label = 1, Score = [float.PositiveInfinity, 0, 0] },
        ]);

        Assert.Equal(Evaluate(_rows).LogLoss, metrics.LogLoss);
        Assert.Equal(5, metrics.ConfusionMatrix.Counts.Sum(row => row.Sum()));
    }

    [Fact]
    public void FloatLabelsCountFromZeroAndUnknownOnesCountAsWrong()
    {
        MLContext context = new(1);
        FloatScored[] rows =
        [
            new() { Truth = 0, P = [0.75f, 0.25f] },
            new() { Truth = 1, P = [0.25f, 0.75f] },
            new() { Truth = 5, P = [0.25f, 0.75f] },
            new() { Truth = 0.5f, P = [1, 0] },
            new() { Truth = -1, P = [1, 0] },
            new() { Truth = float.NaN, P = [1, 0] },
        ];

        MulticlassClassificationMetrics metrics =
            context.MulticlassClassification.Evaluate(context.Data.LoadFromEnumerable(rows), "Truth", "P", "Guess", 2);

        Close(2 / 3.0, metrics.MicroAccuracy);
        Close(1, metrics.MacroAccuracy);
        Close(((-2 * Math.Log(0.75)) - Math.Log(1e-15f)) / 3, metrics.LogLoss);
        Close(2 / 3.0, metrics.TopKAccuracy);
        Assert.Equal(2, metrics.ConfusionMatrix.Counts.Sum(row => row.Sum()));
    }

    [Fact]
    public void KeysOfAnyIntegerTypeAreLabels()
    {
        MLContext context = new(1);
        IDataView view = context.Data.LoadFromEnumerable(
        [
            new ByteScored { Label = 0, Score = [1, 0] },
            new ByteScored { Label = 1, Score = [1, 0] },
        ]);

        Assert.Equal(0.5, context.MulticlassClassification.Evaluate(view).MicroAccuracy);
    }

    [Fact]
    public void NoRowsGiveZeros()
    {
        MulticlassClassificationMetrics metrics = Evaluate([]);

        Assert.Equal((0, 0, 0), (metrics.MicroAccuracy, metrics.MacroAccuracy, metrics.LogLoss));
        Assert.True(double.IsNaN(metrics.LogLossReduction));
    }

    [Theory]
    [InlineData("Absent", "Score", "PredictedLabel", "Absent column 'Label' not found")]
    [InlineData("Label", "Absent", "PredictedLabel", "Absent column 'Score' not found")]
    [InlineData("Label", "Score", "Absent", "Absent column 'PredictedLabel' not found")]
    [InlineData("Label", "Label", "PredictedLabel", "Schema mismatch for score column 'Label': expected vector of two or more items of type Single, got Key<UInt32, 0-2>")]
    [InlineData("Score", "Score", "PredictedLabel", "Schema mismatch for label column 'Score': expected Single or Key, got Vector<Single, 3>")]
    public void ColumnsThatCannotServeAreNamed(string label, string score, string predicted, string message)
    {
        MLContext context = new(1);
        IDataView view = context.Data.LoadFromEnumerable(_rows);

        ArgumentException error = Assert.ThrowsAny<ArgumentException>(
            () => context.MulticlassClassification.Evaluate(view, label, score, predicted));

        Assert.Contains(message, error.Message);
    }

    [Fact]
    public void ANegativeTopKIsRefused() =>
        Assert.Contains("Must be non-negative", Assert.ThrowsAny<Exception>(() => Evaluate(_rows, topK: -1)).Message);

    private static MulticlassClassificationMetrics Evaluate(Scored[] rows, int topK = 0)
    {
        MLContext context = new(1);
        return context.MulticlassClassification.Evaluate(
            context.Data.LoadFromEnumerable(rows), topKPredictionCount: topK);
    }

    private static void Close(double expected, double actual) => Assert.InRange(actual - expected, -1e-6, 1e-6);
}
