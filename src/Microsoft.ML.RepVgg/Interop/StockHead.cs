using Microsoft.ML.Data;
using Microsoft.ML.Trainers;
using RepVgg.Weights.Onnx;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>ML.NET's softmax head (maximum-entropy model) with the user's classes, the last part of the saved chain.</summary>
/// <remarks>
/// <para>
/// <c>Model.Load</c> can create only ML.NET's own transformers. The one that adds Score and PredictedLabel with
/// all annotations that ML.NET's tools expect is the maximum-entropy predictor. It has no public constructor, so it is
/// trained on one one-hot row per class. By symmetry its weights are W = a I + b J (I: identity, J: all ones), and
/// softmax(W z + c) = softmax(a z + c). The last layer of the saved network outputs z = (logits - c) / a (<see cref="Scale"/>), so the head returns softmax(logits).
/// </para>
/// <para><see cref="Create"/> verifies that the trained weights have this form.</para>
/// </remarks>
internal sealed class StockHead
{
    private StockHead(MulticlassPredictionTransformer<MaximumEntropyModelParameters> transformer, LogitsScale scale)
    {
        Transformer = transformer;
        Scale = scale;
    }

    /// <summary>The transformer that reads the logits column and adds Score and PredictedLabel.</summary>
    public ITransformer Transformer { get; }

    /// <summary>The scale that the last layer of the network needs, so that this head computes the softmax of the original logits.</summary>
    public LogitsScale Scale { get; }

    /// <summary>Trains the head.</summary>
    /// <param name="label">The user's label column: a key of UInt32.</param>
    /// <param name="featureName">Name of the head's input column: Vector&lt;Single, 1, classes&gt;.</param>
    /// <param name="classes">Number of classes, at least 2.</param>
    /// <returns>The head.</returns>
    public static StockHead Create(DataViewSchema.Column label, string featureName, int classes)
    {
        var context = new MLContext(seed: 1);
        var rows = new OneHotView(label, featureName, classes);
        var transformer = context.MulticlassClassification.Trainers.LbfgsMaximumEntropy(new LbfgsMaximumEntropyMulticlassTrainer.Options
        {
            LabelColumnName = label.Name,
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
                    throw new NotSupportedException("This version of ML.NET trains a maximum-entropy model that is not symmetric on one-hot rows, so the model cannot be saved as ML.NET's own transformers. Use the ML.NET version that this library was built for, or ExportToOnnx.");
            }
        }
        float[] biases = [.. transformer.Model.GetBiases()];
        return new StockHead(transformer, new LogitsScale(gain, [.. biases.Select(bias => bias - biases[0])]));
    }
}
