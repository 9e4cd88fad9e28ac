using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using RepVgg.Formats.Onnx;
using RepVgg.Networks;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>Puts a chain of ML.NET's own transformers together: image preprocessing, a network as ONNX, and what follows.</summary>
internal sealed class StockChainBuilder
{
    private readonly string _folder;
    private readonly FeatureInput _input;
    private readonly TransformsCatalog _transforms;
    private readonly List<ITransformer> _parts = [];
    private readonly List<string> _temporary;
    private DataViewSchema _schema;

    private StockChainBuilder(string folder, FeatureInput input)
    {
        _folder = folder;
        _input = input;
        _transforms = new MLContext(seed: 1) { TempFilePath = folder }.Transforms;
        _temporary = [.. input.TemporaryColumns];
        if (input.Preprocessing is not null)
            _parts.AddRange(input.Preprocessing);
        var builder = new DataViewSchema.Builder();
        builder.AddColumn(input.PixelColumnName, input.PixelType);
        _schema = builder.ToSchema();
    }

    /// <summary>Writes a chain in place of a transformer.</summary>
    /// <param name="context">Where to.</param>
    /// <param name="input">What the chain reads.</param>
    /// <param name="build">Adds what follows the preprocessing.</param>
    public static void Save(ModelSaveContext context, FeatureInput input, Action<StockChainBuilder> build)
    {
        ArgumentNullException.ThrowIfNull(context);
        // The ONNX transformer holds on to its file, so it gets a folder of its own that is gone afterwards.
        var folder = Directory.CreateTempSubdirectory("repvgg-model-");
        try
        {
            var builder = new StockChainBuilder(folder.FullName, input);
            build(builder);
            using var chain = builder.Build();
            ((ICanSaveModel)chain).Save(context);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>Adds the network.</summary>
    /// <param name="network">Reads the input's pixels.</param>
    /// <param name="outputColumn">The column that it gives.</param>
    /// <param name="omitBatch">Whether its type lacks the batch's dimension, 1, that ONNX columns have in front.</param>
    public void AddNetwork(DeployNetwork network, string outputColumn, bool omitBatch)
    {
        string model = Path.Combine(_folder, "network.onnx");
        var options = new OnnxExportOptions { InputName = _input.PixelColumnName, OutputName = outputColumn, OmitOutputBatch = omitBatch, BatchSize = omitBatch ? 1 : null };
        OnnxWriter.Write(network, model, options);
        Add(_transforms.ApplyOnnxModel([outputColumn], [_input.PixelColumnName], model));
    }

    /// <summary>Adds a transformer.</summary>
    public void Add(ITransformer transformer)
    {
        _parts.Add(transformer);
        _schema = transformer.GetOutputSchema(_schema);
    }

    /// <summary>Copies a column to another name; nothing where they are the same.</summary>
    public void Rename(string from, string to)
    {
        if (from == to)
            return;
        Add(_transforms.CopyColumns(to, from));
        Temporary(from);
    }

    /// <summary>Has a column removed at the end.</summary>
    public void Temporary(string column) => _temporary.Add(column);

    private TransformerChain<ITransformer> Build()
    {
        // Temporary columns of the preprocessing are not in this schema; dropping is by name and looks at none.
        if (_temporary.Count > 0)
            _parts.Add(_transforms.DropColumns([.. _temporary]).Fit(new SchemaOnlyView(Complete(_schema, _temporary))));
        return new TransformerChain<ITransformer>([.. _parts]);
    }

    private void Add<T>(IEstimator<T> estimator)
        where T : class, ITransformer => Add((ITransformer)estimator.Fit(new SchemaOnlyView(_schema)));

    private static DataViewSchema Complete(DataViewSchema schema, IEnumerable<string> names)
    {
        var builder = new DataViewSchema.Builder();
        builder.AddColumns(schema);
        foreach (string name in names.Where(name => schema.GetColumnOrNull(name) is null))
            builder.AddColumn(name, NumberDataViewType.Single);
        return builder.ToSchema();
    }
}
