using Microsoft.ML.Data;
using Microsoft.ML.Trainers;
using RepVgg.Networks;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>A stock softmax head with the user's classes, for the end of the chain that is saved.</summary>
/// <remarks>
/// <para>
/// Only stock transformers can be re-created by <c>Model.Load</c>, and the one that yields Score and PredictedLabel with
/// every annotation that ML.NET's tools expect is the maximum-entropy predictor. It cannot be constructed, only
/// trained; so it is trained, on one one-hot row per class. By symmetry its weights are W = a I + b J (J all ones),
/// hence softmax(W z + c) = softmax(a z + c): a linear layer in front that emits (logits - c) / a makes it exact.
/// </para>
/// <para>The form is checked, not assumed.</para>
/// </remarks>
internal sealed class StockHead
{
    private readonly float _gain;
    private readonly float[] _biases;

    private StockHead(MulticlassPredictionTransformer<MaximumEntropyModelParameters> transformer, DataViewSchema outputSchema, float gain, float[] biases)
    {
        Transformer = transformer;
        Score = new DataViewSchema.DetachedColumn(outputSchema["Score"]);
        PredictedLabel = new DataViewSchema.DetachedColumn(outputSchema["PredictedLabel"]);
        _gain = gain;
        _biases = biases;
    }

    /// <summary>Reads the feature column that it was made for, writes Score and PredictedLabel.</summary>
    public ITransformer Transformer { get; }

    /// <summary>Type and annotations of the stock Score column.</summary>
    public DataViewSchema.DetachedColumn Score { get; }

    /// <summary>Type and annotations of the stock PredictedLabel column.</summary>
    public DataViewSchema.DetachedColumn PredictedLabel { get; }

    /// <summary>Trains the head.</summary>
    /// <param name="labelName">Name of the label column.</param>
    /// <param name="label">The user's label column: a key of UInt32.</param>
    /// <param name="featureName">Name of the column that the head will read: Vector&lt;Single, 1, classes&gt;.</param>
    /// <param name="classes">Number of classes, at least 2.</param>
    /// <returns>The head.</returns>
    public static StockHead Create(string labelName, DataViewSchema.Column label, string featureName, int classes)
    {
        var context = new MLContext(seed: 1);
        var rows = new OneHotView(labelName, label, featureName, classes);
        var transformer = context.MulticlassClassification.Trainers.LbfgsMaximumEntropy(new LbfgsMaximumEntropyMulticlassTrainer.Options
        {
            LabelColumnName = labelName,
            FeatureColumnName = featureName,
            L1Regularization = 0,
            L2Regularization = 1,
            MaximumNumberOfIterations = 1,
            HistorySize = 2,
            NumberOfThreads = 1,
        }).Fit(rows);

        VBuffer<float>[]? weights = null;
        transformer.Model.GetWeights(ref weights!, out int modelClasses);
        float[][] matrix = [.. weights.Take(modelClasses).Select(row => row.DenseValues().ToArray())];
        float offDiagonal = matrix[0][1], gain = matrix[0][0] - offDiagonal;
        float tolerance = 1e-4f * Math.Abs(gain);
        for (int i = 0; i < modelClasses; i++)
        {
            for (int j = 0; j < modelClasses; j++)
            {
                float expected = i == j ? gain + offDiagonal : offDiagonal;
                if (modelClasses != classes || !(gain > 0) || !(Math.Abs(matrix[i][j] - expected) <= tolerance))
                    throw new NotSupportedException("This version of ML.NET trains a maximum-entropy model that is not symmetric on one-hot rows, so the model cannot be saved as stock transformers. Use the ML.NET version that this library was built for, or ExportToOnnx.");
            }
        }
        return new StockHead(transformer, transformer.GetOutputSchema(rows.Schema), gain, [.. transformer.Model.GetBiases()]);
    }

    /// <summary>The network whose output makes this head yield softmax of the given network's logits.</summary>
    /// <param name="network">The fused network.</param>
    /// <returns>The same network with its last layer rescaled.</returns>
    public DeployNetwork Rescale(DeployNetwork network)
    {
        var classifier = network.Classifier;
        return network with
        {
            Classifier = classifier with
            {
                Weight = [.. classifier.Weight.Select(weight => weight / _gain)],
                Bias = [.. classifier.Bias.Select((bias, i) => (bias - (_biases[i] - _biases[0])) / _gain)],
            },
        };
    }
}
