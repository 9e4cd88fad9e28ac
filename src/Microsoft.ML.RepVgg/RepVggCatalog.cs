using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Interop;

namespace Microsoft.ML;

/// <summary>Extension methods that add RepVGG to the catalogs of <see cref="MLContext"/>.</summary>
public static class RepVggCatalog
{
    /// <summary>Trains a RepVGG image classifier and fuses it into a plain network of 3x3 convolutions.</summary>
    /// <param name="catalog">The trainers of <c>mlContext.MulticlassClassification</c>.</param>
    /// <param name="labelColumnName">Name of the label column: a key of UInt32, as <c>MapValueToKey</c> makes it.</param>
    /// <param name="featureColumnName">Name of the feature column: images of any size (MLImage), the content of image files (Vector&lt;Byte&gt;), or Vector&lt;Single&gt; with dimensions (channels, height, width).</param>
    /// <param name="scoreColumnName">Name of the output column with one probability per class.</param>
    /// <param name="predictedLabelColumnName">Name of the output column with the predicted key.</param>
    /// <param name="validationSet">Data to validate on after every epoch; null sets a tenth of the training data aside.</param>
    /// <returns>The estimator.</returns>
    public static RepVggTrainer RepVgg(
        this MulticlassClassificationCatalog.MulticlassClassificationTrainers catalog,
        string labelColumnName = "Label",
        string featureColumnName = "Features",
        string scoreColumnName = "Score",
        string predictedLabelColumnName = "PredictedLabel",
        IDataView? validationSet = null) => catalog.RepVgg(new RepVggTrainer.Options
        {
            LabelColumnName = labelColumnName,
            FeatureColumnName = featureColumnName,
            ScoreColumnName = scoreColumnName,
            PredictedLabelColumnName = predictedLabelColumnName,
            ValidationSet = validationSet,
        });

    /// <summary>Trains a RepVGG image classifier and fuses it into a plain network of 3x3 convolutions.</summary>
    /// <param name="catalog">The trainers of <c>mlContext.MulticlassClassification</c>.</param>
    /// <param name="options">Architecture, data columns and hyperparameters of the training.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="ArgumentException">An option is out of range, or the architecture is unknown.</exception>
    public static RepVggTrainer RepVgg(this MulticlassClassificationCatalog.MulticlassClassificationTrainers catalog, RepVggTrainer.Options options)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        ArgumentNullException.ThrowIfNull(options);
        return new RepVggTrainer(CatalogEnvironment.Find(catalog), options);
    }

    /// <summary>Converts images to features of a trained RepVGG: the output of its last stage after global average pooling.</summary>
    /// <param name="catalog"><c>mlContext.Transforms</c>.</param>
    /// <param name="outputColumnName">Name of the output column: a vector of Single.</param>
    /// <param name="weightsPath">File with the weights: PyTorch (.pth), safetensors or ONNX, in the training or the deploy form.</param>
    /// <param name="inputColumnName">Name of the input column: images of any size (MLImage), the content of image files (Vector&lt;Byte&gt;), or Vector&lt;Single&gt; with dimensions (channels, height, width); null is <paramref name="outputColumnName"/>.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="InvalidDataException">The file has an unsupported format, is damaged, or does not contain a RepVGG network.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static RepVggFeaturizingEstimator RepVggFeaturizer(this TransformsCatalog catalog, string outputColumnName, string weightsPath, string? inputColumnName = null) =>
        catalog.RepVggFeaturizer(new RepVggFeaturizingEstimator.Options { OutputColumnName = outputColumnName, WeightsPath = weightsPath, InputColumnName = inputColumnName });

    /// <summary>Converts images to features of a trained classifier: the globally average-pooled values that are the input of its last layer.</summary>
    /// <param name="catalog"><c>mlContext.Transforms</c>.</param>
    /// <param name="outputColumnName">Name of the output column: a vector of Single.</param>
    /// <param name="classifier">The classifier; it may be disposed afterwards. Of a quantized one, <see cref="RepVggTransformer.Network"/> is used, whose activations are not rounded to bytes.</param>
    /// <param name="inputColumnName">Name of the input column: images of any size (MLImage), the content of image files (Vector&lt;Byte&gt;), or Vector&lt;Single&gt; with dimensions (channels, height, width); null is <paramref name="outputColumnName"/>.</param>
    /// <returns>The estimator.</returns>
    public static RepVggFeaturizingEstimator RepVggFeaturizer(this TransformsCatalog catalog, string outputColumnName, RepVggTransformer classifier, string? inputColumnName = null)
    {
        ArgumentNullException.ThrowIfNull(classifier);
        return catalog.RepVggFeaturizer(new RepVggFeaturizingEstimator.Options { OutputColumnName = outputColumnName, Network = classifier.Network, InputColumnName = inputColumnName });
    }

    /// <summary>Converts images to features of a trained RepVGG: the output of any stage, pooled or as a feature map.</summary>
    /// <param name="catalog"><c>mlContext.Transforms</c>.</param>
    /// <param name="options">The network, the stage whose features are returned, and the image preprocessing.</param>
    /// <returns>The estimator.</returns>
    /// <exception cref="ArgumentException">An option is out of range, or does not fit the network.</exception>
    /// <exception cref="InvalidDataException">The weights file has an unsupported format, is damaged, or does not contain a RepVGG network.</exception>
    /// <exception cref="IOException">The weights file cannot be read.</exception>
    public static RepVggFeaturizingEstimator RepVggFeaturizer(this TransformsCatalog catalog, RepVggFeaturizingEstimator.Options options)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        ArgumentNullException.ThrowIfNull(options);
        return new RepVggFeaturizingEstimator(CatalogEnvironment.Find(catalog), options);
    }
}
