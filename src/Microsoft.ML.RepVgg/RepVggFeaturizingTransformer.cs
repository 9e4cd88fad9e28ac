using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Interop;
using Microsoft.ML.RepVgg.Scoring;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Weights.Onnx;

namespace Microsoft.ML.RepVgg;

/// <summary>Adds a column with the features that a network computes from the images in another column: one vector of Single per row.</summary>
/// <remarks>
/// The features are computed by <see cref="InferenceEngine"/>: in batches in a data view, and one row at a time in a
/// <see cref="PredictionEngine{TSrc, TDst}"/>. <c>Model.Save</c> writes only ML.NET's own transformers, so an
/// application can load the model without this library; its features agree within a relative error of 1e-4. Any
/// number of threads can use one transformer at the same time. Dispose it when no data view or prediction engine uses it any longer.
/// </remarks>
public sealed class RepVggFeaturizingTransformer : ITransformer, IDisposable
{
    private readonly NetworkScorer _scorer;

    internal RepVggFeaturizingTransformer(DeployNetwork network, FeatureInput input, string outputColumn, ScoringOptions scoring)
    {
        Network = network;
        OutputColumnName = outputColumn;
        var type = new VectorDataViewType(NumberDataViewType.Single, network.OutputShape);
        _scorer = new NetworkScorer(input, NetworkScorer.CreateEngine(network, scoring), scoring, [new AddedColumn(OutputColumnName, type, null, FeaturesGetter)]);
    }

    /// <summary>The weights of the fused network: the blocks up to the selected stage, without the classifier.</summary>
    public DeployNetwork Network { get; }

    /// <summary>Name of the input column.</summary>
    public string InputColumnName => _scorer.Input.ColumnName;

    /// <summary>Name of the output column: Vector&lt;Single&gt; with dimensions (channels), or (channels, height, width) without pooling.</summary>
    public string OutputColumnName { get; }

    /// <summary>Number of rows without a usable image that were skipped, over all data views and prediction engines of this transformer (see <see cref="RepVggScoringOptions.InvalidRows"/>).</summary>
    public long InvalidRowCount => _scorer.InvalidRowCount;

    /// <inheritdoc/>
    public bool IsRowToRowMapper => true;

    /// <inheritdoc/>
    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => _scorer.Map(inputSchema).OutputSchema;

    /// <inheritdoc/>
    public IRowToRowMapper GetRowToRowMapper(DataViewSchema inputSchema) => _scorer.Map(inputSchema);

    /// <inheritdoc/>
    public IDataView Transform(IDataView input) => _scorer.Transform(input);

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
    public void Dispose() => _scorer.Dispose();

    private static ValueGetter<VBuffer<float>> FeaturesGetter(OutputOfRow output) => (ref VBuffer<float> value) =>
    {
        var features = output();
        var editor = VBufferEditor.Create(ref value, features.Length);
        features.CopyTo(editor.Values);
        value = editor.Commit();
    };
}
