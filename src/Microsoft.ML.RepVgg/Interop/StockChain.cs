using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using RepVgg.Formats.Onnx;
using RepVgg.Networks;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>Saves a fused network as a chain of ML.NET's own transformers, which any application can load.</summary>
/// <remarks>
/// <c>Model.Load</c> re-creates only types that ML.NET knows, so what is written is: for images resizing and pixel
/// extraction, then the network as ONNX, then the stock softmax head (<see cref="StockHead"/>), renaming where the output
/// columns have other names, and the removal of temporary columns.
/// </remarks>
internal static class StockChain
{
    /// <summary>The stock head's name for the probabilities.</summary>
    public const string Score = "Score";

    /// <summary>The stock head's name for the predicted key.</summary>
    public const string PredictedLabel = "PredictedLabel";

    /// <summary>The temporary column between the network and the head.</summary>
    public static string LogitsColumn(string scoreColumn) => scoreColumn + ".Logits";

    /// <summary>Writes the chain in place of a transformer.</summary>
    /// <param name="context">Where to.</param>
    /// <param name="network">The fused network.</param>
    /// <param name="features">What it reads.</param>
    /// <param name="head">The head, made for <see cref="LogitsColumn"/>.</param>
    /// <param name="scoreColumn">Name of the score column.</param>
    /// <param name="predictedLabelColumn">Name of the predicted label's column.</param>
    public static void Save(ModelSaveContext context, DeployNetwork network, FeatureInput features, StockHead head, string scoreColumn, string predictedLabelColumn)
    {
        // The ONNX transformer holds on to its file, so it gets a folder of its own that is gone afterwards.
        var folder = Directory.CreateTempSubdirectory("repvgg-model-");
        try
        {
            using var chain = Build(folder.FullName, network, features, head, scoreColumn, predictedLabelColumn);
            ((ICanSaveModel)chain).Save(context);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static TransformerChain<ITransformer> Build(string folder, DeployNetwork network, FeatureInput features, StockHead head, string scoreColumn, string predictedLabelColumn)
    {
        string logits = LogitsColumn(scoreColumn), model = Path.Combine(folder, "network.onnx");
        OnnxWriter.Write(head.Rescale(network), model, new OnnxExportOptions { InputName = features.PixelColumnName, OutputName = logits });

        var transforms = new MLContext(seed: 1) { TempFilePath = folder }.Transforms;
        var builder = new DataViewSchema.Builder();
        builder.AddColumn(features.PixelColumnName, features.PixelType);
        var schema = builder.ToSchema();

        var parts = new List<ITransformer>();
        if (features.Preprocessing is not null)
            parts.AddRange(features.Preprocessing);
        Add(transforms.ApplyOnnxModel([logits], [features.PixelColumnName], model));
        AddTransformer(head.Transformer);
        var temporary = new List<string>(features.TemporaryColumns) { logits };
        if (scoreColumn != Score)
        {
            Add(transforms.CopyColumns(scoreColumn, Score));
            temporary.Add(Score);
        }
        if (predictedLabelColumn != PredictedLabel)
        {
            Add(transforms.CopyColumns(predictedLabelColumn, PredictedLabel));
            temporary.Add(PredictedLabel);
        }
        // Temporary columns of the preprocessing are not in this schema; dropping is by name and looks at none.
        parts.Add(transforms.DropColumns([.. temporary]).Fit(new SchemaOnlyView(Complete(schema, temporary))));
        return new TransformerChain<ITransformer>([.. parts]);

        void Add<T>(IEstimator<T> estimator)
            where T : class, ITransformer => AddTransformer(estimator.Fit(new SchemaOnlyView(schema)));

        void AddTransformer(ITransformer transformer)
        {
            parts.Add(transformer);
            schema = transformer.GetOutputSchema(schema);
        }
    }

    private static DataViewSchema Complete(DataViewSchema schema, IEnumerable<string> names)
    {
        var builder = new DataViewSchema.Builder();
        builder.AddColumns(schema);
        foreach (string name in names.Where(name => schema.GetColumnOrNull(name) is null))
            builder.AddColumn(name, NumberDataViewType.Single);
        return builder.ToSchema();
    }
}
