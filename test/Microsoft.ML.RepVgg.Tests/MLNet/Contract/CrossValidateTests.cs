using Microsoft.ML;
using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Cross-validation: folds, models, scored sets and metrics belong together.</summary>
public sealed class CrossValidateTests
{
    [Fact]
    public void EveryRowIsHeldOutOnce()
    {
        MLContext context = new(1);
        LearningData.Row[] rows = LearningData.Clouds(90);
        for (int i = 0; i < rows.Length; i++)
        {
            rows[i].Weight = i;
        }

        var results = context.MulticlassClassification.CrossValidate(
            LearningData.View(context, rows), Trainer(context), numberOfFolds: 3);

        Assert.Equal([0, 1, 2], results.Select(result => result.Fold));
        Assert.Equal(
            Enumerable.Range(0, rows.Length).Select(i => (float)i),
            results.SelectMany(result => LearningData.Scalars<float>(result.ScoredHoldOutSet, "Weight")).Order());
        Assert.All(results, result =>
            Assert.InRange(LearningData.Scalars<float>(result.ScoredHoldOutSet, "Weight").Length, 10, 60));
    }

    [Fact]
    public void MetricsAreThoseOfTheModelOnItsHeldOutRows()
    {
        MLContext context = new(1);
        var results = context.MulticlassClassification.CrossValidate(
            LearningData.View(context, LearningData.Clouds(120)), Trainer(context), numberOfFolds: 2);

        Assert.Equal(2, results.Count);
        foreach (var result in results)
        {
            MulticlassClassificationMetrics again = context.MulticlassClassification.Evaluate(
                result.Model.Transform(result.ScoredHoldOutSet));
            Assert.Equal(again.LogLoss, result.Metrics.LogLoss);
            Assert.Equal(again.MicroAccuracy, result.Metrics.MicroAccuracy);
            Assert.InRange(result.Metrics.MicroAccuracy, 0.6, 1);
            Assert.Equal(
                LearningData.Scalars<uint>(result.ScoredHoldOutSet, "Label").Length,
                result.Metrics.ConfusionMatrix.Counts.Sum(row => row.Sum()));
        }
    }

    [Fact]
    public void RowsOfOneSamplingKeyStayTogether()
    {
        MLContext context = new(1);
        LearningData.Row[] rows = LearningData.Clouds(120);
        for (int i = 0; i < rows.Length; i++)
        {
            rows[i].Weight = i / 10;
        }

        var results = context.MulticlassClassification.CrossValidate(
            LearningData.View(context, rows), Trainer(context), numberOfFolds: 2, samplingKeyColumnName: "Weight");

        float[][] folds = [.. results.Select(result => LearningData.Scalars<float>(result.ScoredHoldOutSet, "Weight"))];
        Assert.Empty(folds[0].Intersect(folds[1]));
        Assert.Equal(rows.Length, folds.Sum(fold => fold.Length));
    }

    [Fact]
    public void TheSameSeedGivesTheSameFolds()
    {
        float[] First(int seed)
        {
            MLContext context = new(1);
            LearningData.Row[] rows = LearningData.Clouds(60);
            for (int i = 0; i < rows.Length; i++)
            {
                rows[i].Weight = i;
            }

            var results = context.MulticlassClassification.CrossValidate(
                LearningData.View(context, rows), Trainer(context), numberOfFolds: 2, seed: seed);
            return LearningData.Scalars<float>(results[0].ScoredHoldOutSet, "Weight");
        }

        Assert.Equal(First(5), First(5));
        Assert.NotEqual(First(5), First(6));
    }

    [Fact]
    public void OneFoldIsRefused()
    {
        MLContext context = new(1);
        IDataView view = LearningData.View(context, LearningData.Clouds(30));

        ArgumentException error = Assert.ThrowsAny<ArgumentException>(
            () => context.MulticlassClassification.CrossValidate(view, Trainer(context), numberOfFolds: 1));

        Assert.Contains("Must be more than 1", error.Message);
    }

    private static IEstimator<ITransformer> Trainer(MLContext context) =>
        context.MulticlassClassification.Trainers.LbfgsMaximumEntropy(l1Regularization: 0);
}
