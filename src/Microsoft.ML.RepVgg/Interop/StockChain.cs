using Microsoft.ML.RepVgg.Input;
using RepVgg.Networks;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>Saves fused networks as chains of ML.NET's own transformers, which any application can load.</summary>
/// <remarks>
/// <c>Model.Load</c> re-creates only types that ML.NET knows, so what is written is: for images resizing and pixel
/// extraction, then the network as ONNX, of classifiers the stock softmax head (<see cref="StockHead"/>), renaming where
/// output columns have other names, and the removal of temporary columns.
/// </remarks>
internal static class StockChain
{
    /// <summary>The stock head's name for the probabilities.</summary>
    public const string Score = "Score";

    /// <summary>The stock head's name for the predicted key.</summary>
    public const string PredictedLabel = "PredictedLabel";

    /// <summary>The temporary column between the network and the head.</summary>
    public static string LogitsColumn(string scoreColumn) => scoreColumn + ".Logits";

    /// <summary>Writes a classifier.</summary>
    /// <param name="context">Where to.</param>
    /// <param name="network">The fused network.</param>
    /// <param name="input">What it reads.</param>
    /// <param name="head">The head, made for <see cref="LogitsColumn"/>.</param>
    /// <param name="scoreColumn">Name of the score column.</param>
    /// <param name="predictedLabelColumn">Name of the predicted label's column.</param>
    public static void SaveClassifier(ModelSaveContext context, DeployNetwork network, FeatureInput input, StockHead head, string scoreColumn, string predictedLabelColumn) =>
        StockChainBuilder.Save(context, input, chain =>
        {
            string logits = LogitsColumn(scoreColumn);
            chain.AddNetwork(head.Rescale(network), logits, omitBatch: false);
            chain.Temporary(logits);
            chain.Add(head.Transformer);
            chain.Rename(Score, scoreColumn);
            chain.Rename(PredictedLabel, predictedLabelColumn);
        });

    /// <summary>Writes a featurizer.</summary>
    /// <param name="context">Where to.</param>
    /// <param name="network">A network that gives features.</param>
    /// <param name="input">What it reads.</param>
    /// <param name="outputColumn">Name of the column with the features.</param>
    public static void SaveFeaturizer(ModelSaveContext context, DeployNetwork network, FeatureInput input, string outputColumn) =>
        StockChainBuilder.Save(context, input, chain =>
        {
            // An ONNX graph cannot give a value of its input's name.
            string features = outputColumn == input.PixelColumnName ? outputColumn + ".Features" : outputColumn;
            chain.AddNetwork(network, features, omitBatch: true);
            chain.Rename(features, outputColumn);
        });
}
