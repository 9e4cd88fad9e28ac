using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Interop;
using Microsoft.ML.RepVgg.Scoring;
using RepVgg.Networks;
using RepVgg.Runtime.Files;
using RepVgg.Weights;

namespace Microsoft.ML;

/// <summary>Extension methods of <c>mlContext.Model</c> that save and load models with RepVGG networks.</summary>
public static class RepVggModelOperations
{
    /// <summary>Saves a model as ML.NET's own transformers, as <c>mlContext.Model.Save</c>, but creates or replaces the file only when it is complete.</summary>
    /// <remarks>
    /// <c>mlContext.Model.Save</c> empties an existing file before it writes, so that an error, a full disk or the end of the
    /// process destroys the model that was there. Any model can be saved, not only those of this library.
    /// </remarks>
    /// <param name="catalog"><c>mlContext.Model</c>.</param>
    /// <param name="model">The model.</param>
    /// <param name="inputSchema">The schema of the model's input; null to save the model without one.</param>
    /// <param name="filePath">The file.</param>
    /// <exception cref="IOException">The file cannot be written, or the folder for temporary files cannot be used. An existing file is unchanged.</exception>
    public static void SaveRepVgg(this ModelOperationsCatalog catalog, ITransformer model, DataViewSchema? inputSchema, string filePath)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        ArgumentNullException.ThrowIfNull(model);
        ArgumentException.ThrowIfNullOrWhiteSpace(filePath);
        StockChainBuilder.CheckTemporaryFolder();
        AtomicFile.Write(filePath, stream =>
        {
            try
            {
                catalog.Save(model, inputSchema, stream);
            }
            catch (ArgumentOutOfRangeException error) when (WriteErrors.IsTooLarge(error))
            {
                // ML.NET writes temporary files of its own.
                throw WriteErrors.TooLarge(error);
            }
        });
    }

    /// <summary>Loads a model with the transformers of this library, instead of the chains of ML.NET's transformers that it was saved as.</summary>
    /// <remarks>
    /// The model scores in batches on this library's engine, without ONNX Runtime, as before it was saved. Its input column can also
    /// contain the content of image files (Vector&lt;Byte&gt;). The transformers are parts of the returned chain:
    /// <see cref="RepVggTransformer"/>, <see cref="RepVggFeaturizingTransformer"/> and <see cref="RepVggSegmentationTransformer"/>.
    /// </remarks>
    /// <param name="catalog"><c>mlContext.Model</c>.</param>
    /// <param name="filePath">The model file.</param>
    /// <param name="inputSchema">Receives the schema of the data that the model was saved with; null if it was saved without one.</param>
    /// <param name="options">How rows are scored, and limits on the network; null for the defaults.</param>
    /// <returns>The model. Dispose it when no data view or prediction engine uses it any longer.</returns>
    /// <exception cref="ArgumentException">An option is out of range, or does not fit the model.</exception>
    /// <exception cref="InvalidDataException">The file is not an ML.NET model, is damaged, contains no network that this library saved, or its network exceeds <see cref="RepVggLoadOptions.ModelLimits"/>.</exception>
    /// <exception cref="IOException">The file cannot be read, or the folder for temporary files cannot be used.</exception>
    public static TransformerChain<ITransformer> LoadRepVgg(this ModelOperationsCatalog catalog, string filePath, out DataViewSchema? inputSchema, RepVggLoadOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(filePath);
        using var file = InputFile.Open(filePath);
        try
        {
            return catalog.LoadRepVgg(file, out inputSchema, options);
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException($"The model '{filePath}' cannot be loaded. {error.Message}", error);
        }
    }

    /// <summary>Loads a model with the transformers of this library, as <see cref="LoadRepVgg(ModelOperationsCatalog, string, out DataViewSchema?, RepVggLoadOptions?)"/>.</summary>
    /// <param name="catalog"><c>mlContext.Model</c>.</param>
    /// <param name="stream">The content of the model file, from the current position on.</param>
    /// <param name="inputSchema">Receives the schema of the data that the model was saved with; null if it was saved without one.</param>
    /// <param name="options">How rows are scored, and limits on the network; null for the defaults.</param>
    /// <returns>The model. Dispose it when no data view or prediction engine uses it any longer.</returns>
    /// <exception cref="InvalidDataException">The stream does not contain an ML.NET model, is damaged, contains no network that this library saved, or its network exceeds <see cref="RepVggLoadOptions.ModelLimits"/>.</exception>
    /// <exception cref="IOException">The folder for temporary files cannot be used.</exception>
    public static TransformerChain<ITransformer> LoadRepVgg(this ModelOperationsCatalog catalog, Stream stream, out DataViewSchema? inputSchema, RepVggLoadOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        ArgumentNullException.ThrowIfNull(stream);
        options ??= new RepVggLoadOptions();
        options.Check();
        StockChainBuilder.CheckTemporaryFolder();
        DataViewSchema? schema = null;
        var limits = options.ModelLimits ?? new WeightsFileLimits();
        var scoring = options.ToScoringOptions(CatalogEnvironment.Find(catalog)?.Register(nameof(RepVgg))) with { Limits = limits };
        // The positions in a zip file count from its start, which need not be that of the stream.
        using var file = new MemoryStream();
        stream.CopyTo(file);
        bool hasClassifier = false;
        var model = SavedModel.Load(file, copy => catalog.Load(copy, out schema), limits, (network, label) =>
        {
            hasClassifier |= network.Part.Head is not null;
            return Create(network, label, scoring, options.MaximumImagePixels);
        });
        if (!scoring.Views.IsSingle && !hasClassifier)
        {
            (model as IDisposable)?.Dispose();
            throw new ArgumentException($"TestTimeAugmentation is {options.TestTimeAugmentation}, but it is a mean of probabilities, and the model has no classifier. Set it to None.", nameof(options));
        }
        inputSchema = schema;
        return model as TransformerChain<ITransformer> ?? new TransformerChain<ITransformer>(model);
    }

    /// <summary>Replaces, in a model that ML.NET loaded, the chains of ML.NET's transformers that this library saved by its own transformers.</summary>
    /// <remarks>The result is the same as that of <see cref="LoadRepVgg(ModelOperationsCatalog, string, out DataViewSchema?, RepVggLoadOptions?)"/>. Other parts of the model are copies.</remarks>
    /// <param name="catalog"><c>mlContext.Model</c>.</param>
    /// <param name="model">The loaded model. It is not changed or disposed.</param>
    /// <param name="options">How rows are scored, and limits on the network; null for the defaults.</param>
    /// <returns>The model. Dispose it when no data view or prediction engine uses it any longer.</returns>
    /// <exception cref="InvalidDataException">The model contains no network that this library saved, or its network exceeds <see cref="RepVggLoadOptions.ModelLimits"/>.</exception>
    /// <exception cref="IOException">The folder for temporary files cannot be used.</exception>
    public static TransformerChain<ITransformer> UpgradeRepVgg(this ModelOperationsCatalog catalog, ITransformer model, RepVggLoadOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(catalog);
        ArgumentNullException.ThrowIfNull(model);
        using var stream = new MemoryStream();
        catalog.Save(model, null, stream);
        stream.Position = 0;
        return catalog.LoadRepVgg(stream, out _, options);
    }

    private static ITransformer Create(SavedNetwork saved, DataViewSchema.Column? predictedLabel, ScoringOptions scoring, long? maximumPixels)
    {
        var part = saved.Part;
        if (saved.Segmentation is { } segmentation)
        {
            var images = part.Input.ToFeatureInput(segmentation.Architecture.Backbone.InputChannels, segmentation.ImageHeight, segmentation.ImageWidth, maximumPixels);
            return new RepVggSegmentationTransformer(segmentation, images, part.OutputColumn, part.Segmentation!.ScoreColumn, saved.Labels, part.Segmentation.IsTrainedOnCrops, scoring);
        }
        var network = saved.Network!;
        var input = part.Input.ToFeatureInput(network, maximumPixels);
        if (part.Head is not { } head)
            return new RepVggFeaturizingTransformer(network.Dequantize(), input, part.OutputColumn, scoring);
        if (predictedLabel is not { Type: KeyDataViewType } label)
            throw new InvalidDataException("The model's RepVGG classifier has no head.");
        var builder = new DataViewSchema.Builder();
        builder.AddColumn(head.LabelColumn, label.Type, label.Annotations);
        return new RepVggTransformer(network, input, part.OutputColumn, head.PredictedLabelColumn, builder.ToSchema()[0], scoring);
    }
}
