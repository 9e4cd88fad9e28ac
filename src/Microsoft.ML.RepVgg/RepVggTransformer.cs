using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Interop;
using Microsoft.ML.RepVgg.Scoring;
using RepVgg.Architectures;
using RepVgg.Formats.Onnx;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Training;

namespace Microsoft.ML.RepVgg;

/// <summary>A trained and fused RepVGG: adds the classes' probabilities and the predicted key to its input.</summary>
/// <remarks>
/// It scores with this library's own engine, many rows at a time in a data view and one at a time in a
/// <see cref="PredictionEngine{TSrc, TDst}"/>. What <c>Model.Save</c> writes consists of ML.NET's own transformers, so
/// that it loads in an application that has never heard of this library; scores agree within 1e-4. Any number of threads may use one
/// transformer at once. Dispose it when no data view or prediction engine uses it any more.
/// </remarks>
public sealed class RepVggTransformer : ITransformer, IDisposable
{
    private readonly StockHead _head;
    private readonly NetworkScorer _scorer;

    internal RepVggTransformer(DeployNetwork network, FeatureInput features, RepVggTrainer.Options options, DataViewSchema.Column label, TrainingResult training)
    {
        Network = network;
        (ScoreColumnName, PredictedLabelColumnName) = (options.ScoreColumnName, options.PredictedLabelColumnName);
        Labels = KeyValues.Read(label, network.Classes);
        History = training.History;
        BestEpoch = training.BestEpoch;
        End = training.End;
        _head = StockHead.Create(options.LabelColumnName, label, StockChain.LogitsColumn(ScoreColumnName), network.Classes);
        // In the stock order.
        _scorer = new NetworkScorer(features, new InferenceEngine(network, options.Threads),
        [
            new AddedColumn(PredictedLabelColumnName, _head.PredictedLabel.Type, _head.PredictedLabel.Annotations, Probabilities.PredictedKeyGetter),
            new AddedColumn(ScoreColumnName, _head.Score.Type, _head.Score.Annotations, Probabilities.ScoreGetter),
        ]);
    }

    /// <summary>What was trained.</summary>
    public RepVggArchitecture Architecture => Network.Architecture;

    /// <summary>The fused network as data.</summary>
    public DeployNetwork Network { get; }

    /// <summary>The classes' names in the order of Score: the label column's key values, or "1", "2", ... where it has none.</summary>
    public IReadOnlyList<string> Labels { get; }

    /// <summary>Name of the input column.</summary>
    public string FeatureColumnName => _scorer.Input.ColumnName;

    /// <summary>Name of the output column with one probability per class.</summary>
    public string ScoreColumnName { get; }

    /// <summary>Name of the output column with the predicted key.</summary>
    public string PredictedLabelColumnName { get; }

    /// <summary>Every epoch's figures.</summary>
    public IReadOnlyList<EpochResult> History { get; }

    /// <summary>The epoch whose weights these are, from 1.</summary>
    public int BestEpoch { get; }

    /// <summary>How the training ended.</summary>
    public TrainingEnd End { get; }

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

    /// <summary>Writes the fused network as ONNX: raw pixels [N, C, H, W] in, logits [N, classes] out, normalisation included.</summary>
    /// <param name="path">The file; an existing one is replaced once the new one is complete.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void ExportToOnnx(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        OnnxWriter.Write(Network, path, new OnnxExportOptions { ClassLabels = Labels });
    }

    /// <inheritdoc/>
    void ICanSaveModel.Save(ModelSaveContext ctx)
    {
        ArgumentNullException.ThrowIfNull(ctx);
        StockChain.SaveClassifier(ctx, Network, _scorer.Input, _head, ScoreColumnName, PredictedLabelColumnName);
    }

    /// <summary>Releases the engine and its memory.</summary>
    public void Dispose()
    {
        _scorer.Engine.Dispose();
        _scorer.Input.Preprocessing?.Dispose();
    }
}
