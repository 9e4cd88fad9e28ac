using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Interop;
using Microsoft.ML.RepVgg.Scoring;
using RepVgg.Formats.Onnx;
using RepVgg.Inference;
using RepVgg.Networks;

namespace Microsoft.ML.RepVgg;

/// <summary>Adds a network's features of the images in a column: one vector of Single per row.</summary>
/// <remarks>
/// It computes with this library's own engine, many rows at a time in a data view and one at a time in a
/// <see cref="PredictionEngine{TSrc, TDst}"/>. What <c>Model.Save</c> writes consists of ML.NET's own transformers, so
/// that it loads in an application that has never heard of this library; features agree within 1e-4, relative. Any
/// number of threads may use one transformer at once. Dispose it when no data view or prediction engine uses it any more.
/// </remarks>
public sealed class RepVggFeaturizingTransformer : ITransformer, IDisposable
{
    private readonly NetworkScorer _scorer;

    internal RepVggFeaturizingTransformer(DeployNetwork network, FeatureInput input, RepVggFeaturizingEstimator.Options options)
    {
        Network = network;
        OutputColumnName = options.OutputColumnName;
        var type = new VectorDataViewType(NumberDataViewType.Single, network.OutputShape);
        _scorer = new NetworkScorer(input, new InferenceEngine(network, options.Threads), [new AddedColumn(OutputColumnName, type, null, FeaturesGetter)]);
    }

    /// <summary>The fused network as data: the blocks up to the chosen stage, without classifier.</summary>
    public DeployNetwork Network { get; }

    /// <summary>Name of the input column.</summary>
    public string InputColumnName => _scorer.Input.ColumnName;

    /// <summary>Name of the output column: Vector&lt;Single&gt; with dimensions (channels), or (channels, height, width) of a map.</summary>
    public string OutputColumnName { get; }

    /// <inheritdoc/>
    public bool IsRowToRowMapper => true;

    /// <inheritdoc/>
    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => new ScoringMapper(_scorer, inputSchema).OutputSchema;

    /// <inheritdoc/>
    public IRowToRowMapper GetRowToRowMapper(DataViewSchema inputSchema) => new ScoringMapper(_scorer, inputSchema);

    /// <inheritdoc/>
    public IDataView Transform(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        return new ScoredView(input, new ScoringMapper(_scorer, input.Schema));
    }

    /// <summary>Writes the network as ONNX: raw pixels [N, C, H, W] in, features [N, channels] or [N, channels, height, width] out, normalisation included.</summary>
    /// <param name="path">The file; an existing one is replaced once the new one is complete.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void ExportToOnnx(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        OnnxWriter.Write(Network, path, new OnnxExportOptions { OutputName = "features" });
    }

    /// <inheritdoc/>
    void ICanSaveModel.Save(ModelSaveContext ctx) => StockChain.SaveFeaturizer(ctx, Network, _scorer.Input, OutputColumnName);

    /// <summary>Releases the engine and its memory.</summary>
    public void Dispose()
    {
        _scorer.Engine.Dispose();
        _scorer.Input.Preprocessing?.Dispose();
    }

    private static ValueGetter<VBuffer<float>> FeaturesGetter(OutputOfRow output) => (ref VBuffer<float> value) =>
    {
        var features = output();
        var editor = VBufferEditor.Create(ref value, features.Length);
        features.CopyTo(editor.Values);
        value = editor.Commit();
    };
}
