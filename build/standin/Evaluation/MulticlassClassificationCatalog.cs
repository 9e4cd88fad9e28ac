using Microsoft.ML.Data;
using Microsoft.ML.Standin;

namespace Microsoft.ML;

/// <content>Metrics.</content>
public sealed partial class MulticlassClassificationCatalog
{
    /// <summary>Compares scores with labels; rows without label do not count.</summary>
    public MulticlassClassificationMetrics Evaluate(
        IDataView data,
        string labelColumnName = "Label",
        string scoreColumnName = "Score",
        string predictedLabelColumnName = "PredictedLabel",
        int topKPredictionCount = 0)
    {
        Check.NotNull(data, nameof(data));
        Check.NotEmpty(labelColumnName, nameof(labelColumnName));
        Check.NotEmpty(scoreColumnName, nameof(scoreColumnName));
        Check.NotEmpty(predictedLabelColumnName, nameof(predictedLabelColumnName));
        if (topKPredictionCount < 0)
        {
            throw new InvalidOperationException($"Invalid argument '{nameof(topKPredictionCount)}': Must be non-negative");
        }

        return MulticlassEvaluator.Evaluate(
            data, labelColumnName, scoreColumnName, predictedLabelColumnName, topKPredictionCount);
    }

    /// <summary>Trains on all folds but one and evaluates on that one, for each fold.</summary>
    public IReadOnlyList<CrossValidationResult<MulticlassClassificationMetrics>> CrossValidate(
        IDataView data,
        IEstimator<ITransformer> estimator,
        int numberOfFolds = 5,
        string labelColumnName = "Label",
        string samplingKeyColumnName = null,
        int? seed = null)
    {
        Check.NotEmpty(labelColumnName, nameof(labelColumnName));
        Check.NotNull(data, nameof(data));
        Check.NotNull(estimator, nameof(estimator));
        Check.Param(numberOfFolds > 1, nameof(numberOfFolds), "Must be more than 1");
        List<CrossValidationResult<MulticlassClassificationMetrics>> results = [];
        foreach (DataOperationsCatalog.TrainTestData fold in new DataOperationsCatalog(Environment)
            .CrossValidationSplit(data, numberOfFolds, samplingKeyColumnName, seed))
        {
            ITransformer model = estimator.Fit(fold.TrainSet);
            IDataView scored = model.Transform(fold.TestSet);
            results.Add(new(model, Evaluate(scored, labelColumnName), scored, results.Count));
        }

        return results;
    }
}
