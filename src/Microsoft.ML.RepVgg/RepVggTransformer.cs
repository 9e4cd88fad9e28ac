using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Explanation;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Interop;
using Microsoft.ML.RepVgg.Scoring;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Reparameterization;
using RepVgg.Training;
using RepVgg.Weights.Onnx;

namespace Microsoft.ML.RepVgg;

/// <summary>A trained and fused RepVGG classifier. It adds a column with the class probabilities and a column with the predicted key.</summary>
/// <remarks>
/// Images are scored by <see cref="InferenceEngine"/>: in batches in a data view, and one row at a time in a
/// <see cref="PredictionEngine{TSrc, TDst}"/>. <c>Model.Save</c> writes only ML.NET's own transformers, so an
/// application can load the model without this library; its scores agree within 1e-4. A network of a training form that cannot be fused is
/// scored in its training form, for comparisons, and cannot be saved. Any number of threads can use one
/// transformer at the same time. Dispose it when no data view or prediction engine uses it any longer.
/// </remarks>
public sealed partial class RepVggTransformer : ITransformer, IDisposable
{
    private readonly DataViewSchema.Column _label;
    private readonly INetworkEngine _engine;
    private readonly NetworkScorer _scorer;
    private readonly ScoringOptions _scoring;
    // The network that is scored, which may have no integers; null if its training form cannot be fused. The other two are created when they are needed.
    private readonly QuantizedNetwork? _scored;
    private readonly Lazy<DeployNetwork>? _network;
    private readonly Lazy<ActivationMapper>? _mapper;
    private bool _isDisposed;

    /// <param name="network">The fused network, which may have no integers.</param>
    /// <param name="features">Description of the input column.</param>
    /// <param name="scoreColumn">Name of the score column.</param>
    /// <param name="predictedLabelColumn">Name of the predicted label's column.</param>
    /// <param name="label">A column with the name, the type and the key values of the label.</param>
    /// <param name="scoring">How rows are scored.</param>
    internal RepVggTransformer(QuantizedNetwork network, FeatureInput features, string scoreColumn, string predictedLabelColumn, DataViewSchema.Column label, ScoringOptions scoring)
        : this(network.Architecture, NetworkScorer.CreateEngine(network, scoring), features, scoreColumn, predictedLabelColumn, label, scoring)
    {
        _scored = network;
        _network = new(network.Dequantize);
        _mapper = new(() => new ActivationMapper(_network.Value, scoring));
    }

    /// <param name="architecture">The architecture, whose training form cannot be fused.</param>
    /// <param name="engine">The engine that runs the network in its training form; it is disposed with the transformer.</param>
    /// <param name="features">Description of the input column.</param>
    /// <param name="scoreColumn">Name of the score column.</param>
    /// <param name="predictedLabelColumn">Name of the predicted label's column.</param>
    /// <param name="label">A column with the name, the type and the key values of the label.</param>
    /// <param name="scoring">How rows are scored.</param>
    internal RepVggTransformer(
        RepVggArchitecture architecture, INetworkEngine engine, FeatureInput features, string scoreColumn, string predictedLabelColumn, DataViewSchema.Column label, ScoringOptions scoring)
    {
        Architecture = architecture;
        (ScoreColumnName, PredictedLabelColumnName) = (scoreColumn, predictedLabelColumn);
        Labels = KeyValues.Read(label, engine.OutputLength);
        (Input, _engine, _label, _scoring) = (features, engine, label, scoring);
        MultiViewEngine.Check(features, scoring.Views);
        var views = scoring.Views.IsSingle ? null : new MultiViewEngine(engine, features, scoring.Views);
        var columns = new ScoreColumns(label, engine.OutputLength);
        // The columns are in the order in which ML.NET's own head adds them.
        _scorer = new NetworkScorer(views?.Input ?? features, views ?? engine, scoring,
        [
            new AddedColumn(PredictedLabelColumnName, columns.PredictedLabelType, columns.PredictedLabelAnnotations, Probabilities.PredictedKeyGetter),
            new AddedColumn(ScoreColumnName, columns.ScoreType, columns.ScoreAnnotations, views is null ? Probabilities.ScoreGetter : Probabilities.CopyGetter),
        ]);
    }

    /// <summary>The architecture that was trained.</summary>
    public RepVggArchitecture Architecture { get; }

    /// <summary>The fused network: its architecture and weights. Those of a quantized classifier are the numbers that its integers stand for (see <see cref="QuantizedNetwork"/>).</summary>
    /// <exception cref="NotSupportedException">The training form of the architecture cannot be fused (see <see cref="Fusion.CanFuse"/>). The transformer scores in the training form then, and cannot be saved or exported.</exception>
    public DeployNetwork Network
    {
        get
        {
            Fusion.RequireFusable(Architecture);
            return _network!.Value;
        }
    }

    /// <summary>The class names in the order of the Score column: the key values of the label column, or "1", "2", ... if it has none.</summary>
    public IReadOnlyList<string> Labels { get; }

    /// <summary>Name of the input column.</summary>
    public string FeatureColumnName => Input.ColumnName;

    /// <summary>Describes how the values of the input column become the pixels that the network reads.</summary>
    internal FeatureInput Input { get; }

    /// <summary>Name of the output column with one probability per class.</summary>
    public string ScoreColumnName { get; }

    /// <summary>Name of the output column with the predicted key.</summary>
    public string PredictedLabelColumnName { get; }

    /// <summary>Number of rows without a usable image that were skipped at scoring, over all data views and prediction engines of this transformer (see <see cref="RepVggScoringOptions.InvalidRows"/>).</summary>
    public long InvalidRowCount => _scorer.InvalidRowCount;

    /// <summary>Sets what is called with each row that is skipped at scoring, on the thread that reads the rows; see <see cref="InvalidRowCount"/>.</summary>
    internal Action<InvalidRowException>? InvalidRowSkipped
    {
        set => _scorer.InvalidRowSkipped = value;
    }

    /// <summary>Number of rows of the training and validation data that were skipped because their image or label is invalid (see <see cref="RepVggScoringOptions.InvalidRows"/>); 0 for a model that was loaded.</summary>
    public long SkippedTrainingRowCount { get; internal set; }

    /// <summary>The metrics of every epoch; empty for a model that was loaded.</summary>
    public IReadOnlyList<EpochResult> History { get; internal set; } = [];

    /// <summary>The epoch, from 1, whose weights this classifier has, unless it has those of <see cref="AveragedEpochs"/>; 0 for a model that was loaded.</summary>
    public int BestEpoch { get; internal set; }

    /// <summary>The epochs, from 1 and the best first, of whose weights this classifier has the average; empty if it has those of <see cref="BestEpoch"/>, and for a model that was loaded. See <see cref="RepVggTrainer.Options.AveragedCheckpoints"/>.</summary>
    public IReadOnlyList<int> AveragedEpochs { get; internal set; } = [];

    /// <summary>The reason why training ended; <see cref="StopReason.Completed"/> for a model that was loaded.</summary>
    public StopReason StopReason { get; internal set; }

    /// <inheritdoc/>
    public bool IsRowToRowMapper => true;

    /// <inheritdoc/>
    public DataViewSchema GetOutputSchema(DataViewSchema inputSchema) => _scorer.Map(inputSchema).OutputSchema;

    /// <inheritdoc/>
    public IRowToRowMapper GetRowToRowMapper(DataViewSchema inputSchema) => _scorer.Map(inputSchema);

    /// <inheritdoc/>
    public IDataView Transform(IDataView input) => _scorer.Transform(input);

    /// <summary>Writes the fused network, or the quantized one, as ONNX: raw pixels [N, C, H, W] in, logits [N, classes] out, normalisation included.</summary>
    /// <param name="path">The file; an existing one is replaced once the new one is complete.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    /// <exception cref="NotSupportedException">The training form of the architecture cannot be fused (see <see cref="Fusion.CanFuse"/>).</exception>
    public void ExportToOnnx(string path) => ExportToOnnx(path, new OnnxExportOptions());

    /// <summary>Writes the fused network as ONNX, as <see cref="ExportToOnnx(string)"/> does.</summary>
    /// <param name="path">The file; an existing one is replaced once the new one is complete.</param>
    /// <param name="options">The names, shapes and number format of the file, and whether it has the class activation maps as a second output. <see cref="OnnxExportOptions.ClassLabels"/> that are null are <see cref="Labels"/>.</param>
    /// <exception cref="ArgumentException">An option has an invalid value.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    /// <exception cref="NotSupportedException">The training form of the architecture cannot be fused (see <see cref="Fusion.CanFuse"/>).</exception>
    public void ExportToOnnx(string path, OnnxExportOptions options)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        ArgumentNullException.ThrowIfNull(options);
        options = options with { ClassLabels = options.ClassLabels ?? Labels };
        Fusion.RequireFusable(Architecture);
        OnnxWriter.Write(_scored!, path, options);
    }

    /// <inheritdoc/>
    void ICanSaveModel.Save(ModelSaveContext ctx)
    {
        ArgumentNullException.ThrowIfNull(ctx);
        Fusion.RequireFusable(Architecture);
        StockChain.SaveClassifier(ctx, _scored!, Input, _label, ScoreColumnName, PredictedLabelColumnName);
    }

    /// <summary>Releases the engine, that of <see cref="Explain(ReadOnlySpan{byte})"/>, and their memory.</summary>
    public void Dispose()
    {
        _isDisposed = true;
        _scorer.Dispose();
        if (_mapper is { IsValueCreated: true })
            _mapper.Value.Dispose();
    }
}
