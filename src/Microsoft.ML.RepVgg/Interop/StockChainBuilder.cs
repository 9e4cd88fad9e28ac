using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Networks;
using RepVgg.Weights.Onnx;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>Builds a chain of ML.NET's own transformers: image preprocessing, a network as ONNX, and the transformers after it.</summary>
internal sealed class StockChainBuilder
{
    private readonly string _folder;
    private readonly FeatureInput _input;
    private readonly TransformsCatalog _transforms;
    private readonly List<ITransformer> _parts = [];
    private readonly List<string> _dropped;
    private DataViewSchema _schema;

    private StockChainBuilder(string folder, FeatureInput input)
    {
        _folder = folder;
        _input = input;
        _transforms = new MLContext(seed: 1) { TempFilePath = folder }.Transforms;
        _dropped = [.. input.TemporaryColumns];
        _parts.AddRange(input.StockTransformers);
        var builder = new DataViewSchema.Builder();
        builder.AddColumn(input.PixelColumnName, input.PixelType);
        _schema = builder.ToSchema();
    }

    /// <summary>Builds a chain and saves it in place of a transformer.</summary>
    /// <param name="context">Destination of the model.</param>
    /// <param name="input">Description of the chain's input column.</param>
    /// <param name="build">Adds the transformers after the preprocessing.</param>
    public static void Save(ModelSaveContext context, FeatureInput input, Action<StockChainBuilder> build)
    {
        ArgumentNullException.ThrowIfNull(context);
        // The ONNX transformer keeps its file open, so the file is in a temporary folder that is deleted after the chain is disposed.
        var folder = CreateTemporaryFolder();
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

    /// <summary>Checks that the folder for temporary files, in which ML.NET saves and loads models, can be used.</summary>
    /// <exception cref="IOException">It cannot be used; the message says how to set another one.</exception>
    public static void CheckTemporaryFolder() => CreateTemporaryFolder().Delete();

    private static DirectoryInfo CreateTemporaryFolder()
    {
        try
        {
            return Directory.CreateTempSubdirectory("repvgg-model-");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            string variable = OperatingSystem.IsWindows() ? "TEMP" : "TMPDIR";
            throw new IOException($"A model cannot be saved or loaded because the folder for temporary files, '{Path.GetTempPath()}', cannot be used: {error.Message} Set the environment variable {variable} to a folder that exists and can be written.", error);
        }
    }

    /// <summary>Adds the network.</summary>
    /// <param name="network">The network, whose input is the pixel column. It may have no integers.</param>
    /// <param name="outputColumn">Name of the network's output column.</param>
    /// <param name="omitBatch">Whether the type of the output column omits the leading batch dimension, 1, that columns of the ONNX transformer have.</param>
    /// <param name="part">Description of the saved transformer.</param>
    public void AddNetwork(QuantizedNetwork network, string outputColumn, bool omitBatch, SavedPart part)
    {
        string model = Path.Combine(_folder, "network.onnx");
        var options = new OnnxExportOptions
        {
            InputName = _input.PixelColumnName,
            OutputName = outputColumn,
            OmitOutputBatch = omitBatch,
            BatchSize = omitBatch ? 1 : null,
            Chain = Describe(part),
        };
        OnnxWriter.Write(network, model, options);
        OnnxRuntimeTelemetry.DisableEvents();
        Add(_transforms.ApplyOnnxModel([outputColumn], [_input.PixelColumnName], model));
    }

    /// <summary>Adds a network for segmentation.</summary>
    /// <param name="network">The network, whose input is the pixel column.</param>
    /// <param name="maskColumn">Name of the column with the class of every pixel.</param>
    /// <param name="segmentation">The other output, and how the network was trained.</param>
    /// <param name="labels">Names of the classes; empty if they are unknown.</param>
    public void AddSegmentation(SegmentationNetwork network, string maskColumn, SavedSegmentation segmentation, IReadOnlyList<string> labels)
    {
        string? scoreColumn = segmentation.ScoreColumn;
        string model = Path.Combine(_folder, "network.onnx");
        var options = new SegmentationExportOptions
        {
            InputName = _input.PixelColumnName,
            MaskName = maskColumn,
            LogitsName = scoreColumn,
            Softmax = scoreColumn is not null,
            BatchSize = 1,
            OmitOutputBatch = true,
            ClassLabels = labels.Count > 0 ? labels : null,
            Chain = Describe(new SavedPart(SavedInput.Of(_input), maskColumn, Head: null, segmentation)),
        };
        OnnxWriter.Write(network, model, options);
        OnnxRuntimeTelemetry.DisableEvents();
        Add(_transforms.ApplyOnnxModel(scoreColumn is null ? [maskColumn] : [maskColumn, scoreColumn], [_input.PixelColumnName], model));
    }

    /// <summary>Adds a transformer.</summary>
    public void Add(ITransformer transformer)
    {
        _parts.Add(transformer);
        _schema = transformer.GetOutputSchema(_schema);
    }

    /// <summary>Copies columns to other names, all at once. Columns whose two names are equal are left as they are.</summary>
    public void Copy(IEnumerable<string> from, IEnumerable<string> to)
    {
        var pairs = from.Zip(to, (source, target) => (Source: source, Target: target)).Where(pair => pair.Source != pair.Target).ToArray();
        for (int i = 0; i < pairs.Length; i++)
        {
            // A column that is copied later must not be hidden by this copy.
            int later = Array.FindIndex(pairs, i + 1, pair => pair.Source == pairs[i].Target);
            if (later >= 0)
            {
                string kept = AddTemporary("Copy");
                CopyOne(pairs[later].Source, kept);
                pairs[later].Source = kept;
            }
            CopyOne(pairs[i].Source, pairs[i].Target);
        }
    }

    /// <summary>Reserves the name of a temporary column, which the end of the chain removes.</summary>
    /// <param name="purpose">A part of the name.</param>
    public string AddTemporary(string purpose)
    {
        string name = _input.TemporaryName(purpose);
        while (_dropped.Contains(name))
            name += "_";
        _dropped.Add(name);
        return name;
    }

    /// <summary>Has the end of the chain remove a column.</summary>
    public void Drop(string column) => _dropped.Add(column);

    private OnnxChainDetails Describe(SavedPart part) => new() { Background = _input.Background, Crop = CropOf(_input.Crop), Transformer = part.ToJson() };

    private static OnnxCrop? CropOf(CenterCrop crop) =>
        crop.IsWhole ? null : new OnnxCrop(crop.ResizedHeight, crop.ResizedWidth, crop.Top, crop.Left, crop.Height, crop.Width);

    private void CopyOne(string source, string target)
    {
        // Only the names matter: the transformer copies columns of any type.
        _schema = Complete(_schema, [source]);
        Add(_transforms.CopyColumns(target, source));
    }

    private TransformerChain<ITransformer> Build()
    {
        // Only the names matter: the transformer removes columns of any type.
        if (_dropped.Count > 0)
            _parts.Add(_transforms.DropColumns([.. _dropped]).Fit(new SchemaOnlyView(Complete(_schema, _dropped))));
        return new TransformerChain<ITransformer>([.. _parts]);
    }

    private void Add<T>(IEstimator<T> estimator)
        where T : class, ITransformer => Add((ITransformer)estimator.Fit(new SchemaOnlyView(_schema)));

    /// <summary>Adds columns of some type for the names that a schema does not contain.</summary>
    private static DataViewSchema Complete(DataViewSchema schema, IEnumerable<string> names)
    {
        var builder = new DataViewSchema.Builder();
        builder.AddColumns(schema);
        foreach (string name in names.Where(name => schema.GetColumnOrNull(name) is null))
            builder.AddColumn(name, NumberDataViewType.Single);
        return builder.ToSchema();
    }
}
