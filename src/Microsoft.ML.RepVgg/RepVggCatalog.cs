using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Interop;
using Microsoft.ML.RepVgg.Scoring;
using RepVgg.Networks;

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
    /// <param name="classifier">The classifier; it may be disposed afterwards.</param>
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

    /// <summary>Loads a model with the transformers of this library, instead of the chains of ML.NET's transformers that it was saved as.</summary>
    /// <remarks>
    /// The model scores in batches on this library's engine, without ONNX Runtime, as before it was saved. Its input column can also
    /// contain the content of image files (Vector&lt;Byte&gt;). The transformers are parts of the returned chain:
    /// <see cref="RepVggTransformer"/> and <see cref="RepVggFeaturizingTransformer"/>.
    /// </remarks>
    /// <param name="catalog"><c>mlContext.Model</c>.</param>
    /// <param name="filePath">The model file.</param>
    /// <param name="inputSchema">Receives the schema of the data that the model was saved with; null if it was saved without one.</param>
    /// <param name="options">How rows are scored; null for the defaults.</param>
    /// <returns>The model. Dispose it when no data view or prediction engine uses it any longer.</returns>
    /// <exception cref="InvalidDataException">The file is not an ML.NET model, is damaged, or contains no network that this library saved.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static TransformerChain<ITransformer> LoadRepVgg(this ModelOperationsCatalog catalog, string filePath, out DataViewSchema? inputSchema, RepVggScoringOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(filePath);
        using var file = new FileStream(filePath, FileMode.Open, FileAccess.Read, FileShare.Read);
        try
        {
            return catalog.LoadRepVgg(file, out inputSchema, options);
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException($"The model '{filePath}' cannot be loaded. {error.Message}", error);
        }
    }

    /// <summary>Loads a model with the transformers of this library, as <see cref="LoadRepVgg(ModelOperationsCatalog, string, out DataViewSchema?, RepVggScoringOptions?)"/>.</summary>
    /// <param name="catalog"><c>mlContext.Model</c>.</param>
    /// <param name="stream">The content of the model file, from the current position on.</param>
    /// <param name="inputSchema">Receives the schema of the data that the model was saved with; null if it was saved without one.</param>
    /// <param name="options">How rows are scored; null for the defaults.</param>
    /// <returns>The model. Dispose it when no data view or prediction engine uses it any longer.</returns>
    /// <exception cref="InvalidDataException">The stream does not contain an ML.NET model, is damaged, or contains no network that this library saved.</exception>
    public static TransformerChain<ITransformer> LoadRepVgg(this ModelOperationsCatalog catalog, Stream stream, out DataViewSchema? inputSchema, RepVggScoringOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        ArgumentNullException.ThrowIfNull(stream);
        options ??= new RepVggScoringOptions();
        DataViewSchema? schema = null;
        var scoring = options.ToScoringOptions(CatalogEnvironment.Find(catalog)?.Register(nameof(RepVgg)));
        var model = SavedModel.Load(stream, copy => catalog.Load(copy, out schema), (part, network, label) => Create(part, network, label, scoring));
        inputSchema = schema;
        return model as TransformerChain<ITransformer> ?? new TransformerChain<ITransformer>(model);
    }

    /// <summary>Replaces, in a model that ML.NET loaded, the chains of ML.NET's transformers that this library saved by its own transformers.</summary>
    /// <remarks>The result is the same as that of <see cref="LoadRepVgg(ModelOperationsCatalog, string, out DataViewSchema?, RepVggScoringOptions?)"/>. Other parts of the model are copies.</remarks>
    /// <param name="catalog"><c>mlContext.Model</c>.</param>
    /// <param name="model">The loaded model. It is not changed or disposed.</param>
    /// <param name="options">How rows are scored; null for the defaults.</param>
    /// <returns>The model. Dispose it when no data view or prediction engine uses it any longer.</returns>
    /// <exception cref="InvalidDataException">The model contains no network that this library saved.</exception>
    public static TransformerChain<ITransformer> UpgradeRepVgg(this ModelOperationsCatalog catalog, ITransformer model, RepVggScoringOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        ArgumentNullException.ThrowIfNull(model);
        using var stream = new MemoryStream();
        catalog.Save(model, null, stream);
        stream.Position = 0;
        return catalog.LoadRepVgg(stream, out _, options);
    }

    private static ITransformer Create(SavedPart part, DeployNetwork network, DataViewSchema.Column? predictedLabel, ScoringOptions scoring)
    {
        var input = part.Input.ToFeatureInput();
        if (part.Head is not { } head)
            return new RepVggFeaturizingTransformer(network, input, part.OutputColumn, scoring);
        if (predictedLabel is not { Type: KeyDataViewType } label)
            throw new InvalidDataException("The model's RepVGG classifier has no head.");
        var builder = new DataViewSchema.Builder();
        builder.AddColumn(head.LabelColumn, label.Type, label.Annotations);
        return new RepVggTransformer(network, input, part.OutputColumn, head.PredictedLabelColumn, builder.ToSchema()[0], scoring);
    }
}
