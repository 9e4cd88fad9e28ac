using Microsoft.ML.RepVgg.Input;
using RepVgg.Networks;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>Saves fused networks as chains of ML.NET's own transformers, which any application can load.</summary>
/// <remarks>
/// <c>Model.Load</c> can create only ML.NET's own types. The chain consists of: for images, resizing and pixel
/// extraction; the network as ONNX; for classifiers, ML.NET's softmax head (<see cref="StockHead"/>); renaming if
/// output columns have other names; and the removal of temporary columns.
/// </remarks>
internal static class StockChain
{
    /// <summary>Name of the probability column that ML.NET's softmax head adds.</summary>
    public const string Score = "Score";

    /// <summary>Name of the predicted key column that ML.NET's softmax head adds.</summary>
    public const string PredictedLabel = "PredictedLabel";

    /// <summary>Saves a classifier.</summary>
    /// <param name="context">Destination of the model.</param>
    /// <param name="network">The network, which may have no integers.</param>
    /// <param name="input">Description of the input column.</param>
    /// <param name="label">The label column of the training data.</param>
    /// <param name="scoreColumn">Name of the score column.</param>
    /// <param name="predictedLabelColumn">Name of the predicted label's column.</param>
    public static void SaveClassifier(ModelSaveContext context, QuantizedNetwork network, FeatureInput input, DataViewSchema.Column label, string scoreColumn, string predictedLabelColumn) =>
        StockChainBuilder.Save(context, input, chain =>
        {
            string[] outputs = [scoreColumn, predictedLabelColumn];
            string[] added = [Score, PredictedLabel];
            // The head hides columns of the input that have the names of its own columns, so their values are kept under other names.
            var hidden = added.Where(name => input.InputNames.Contains(name) && !outputs.Contains(name)).ToArray();
            var kept = hidden.Select(name => chain.AddTemporary("Kept" + name)).ToArray();
            chain.Copy(hidden, kept);

            string logits = chain.AddTemporary("Logits");
            chain.AddNetwork(network, logits, omitBatch: false, new SavedPart(SavedInput.Of(input), scoreColumn, new SavedHead(predictedLabelColumn, label.Name)));
            chain.Add(StockHead.Create(label, logits, network.Classes));
            chain.Copy(added, outputs);
            chain.Copy(kept, hidden);
            foreach (string name in added.Except(outputs).Except(hidden))
                chain.Drop(name);
        });

    /// <summary>Saves a featurizer.</summary>
    /// <param name="context">Destination of the model.</param>
    /// <param name="network">The fused network, whose output is the features.</param>
    /// <param name="input">Description of the input column.</param>
    /// <param name="outputColumn">Name of the column with the features.</param>
    public static void SaveFeaturizer(ModelSaveContext context, DeployNetwork network, FeatureInput input, string outputColumn) =>
        StockChainBuilder.Save(context, input, chain =>
        {
            // The output of an ONNX graph cannot have the same name as its input.
            string features = outputColumn == input.PixelColumnName ? chain.AddTemporary("Features") : outputColumn;
            chain.AddNetwork(QuantizedNetwork.WithoutIntegers(network), features, omitBatch: true, new SavedPart(SavedInput.Of(input), outputColumn, Head: null));
            chain.Copy([features], [outputColumn]);
        });

    /// <summary>Saves a network for segmentation.</summary>
    /// <param name="context">Destination of the model.</param>
    /// <param name="network">The fused network.</param>
    /// <param name="input">Description of the input column.</param>
    /// <param name="maskColumn">Name of the column with the class of every pixel.</param>
    /// <param name="scoreColumn">Name of the column with the probabilities; null for none.</param>
    /// <param name="labels">Names of the classes; empty if they are unknown.</param>
    /// <param name="isTrainedOnCrops">Whether the network was trained on crops.</param>
    public static void SaveSegmentation(ModelSaveContext context, SegmentationNetwork network, FeatureInput input, string maskColumn, string? scoreColumn, IReadOnlyList<string> labels, bool isTrainedOnCrops) =>
        StockChainBuilder.Save(context, input, chain => chain.AddSegmentation(network, maskColumn, new SavedSegmentation(scoreColumn, isTrainedOnCrops), labels));
}
