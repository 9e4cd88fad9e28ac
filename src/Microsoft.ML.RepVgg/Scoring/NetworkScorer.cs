using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.Runtime;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Weights;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>Returns the output of the network for the current row.</summary>
internal delegate ReadOnlySpan<float> OutputOfRow();

/// <summary>An output column that scoring adds.</summary>
/// <param name="Name">Name of the column.</param>
/// <param name="Type">Type of the column.</param>
/// <param name="Annotate">Creates the annotations of the column from the schema to which it is added; null for none.</param>
/// <param name="CreateGetter">Creates the getter of the column from the network's output: a ValueGetter of the raw type of <paramref name="Type"/>.</param>
internal sealed record AddedColumn(string Name, DataViewType Type, Func<DataViewSchema, DataViewSchema.Annotations>? Annotate, Func<OutputOfRow, Delegate> CreateGetter)
{
    public ValueGetter<TValue> Getter<TValue>(OutputOfRow output) => CreateGetter(output) as ValueGetter<TValue>
        ?? throw WrongType<TValue>(Name, Type);

    public static InvalidOperationException Inactive(DataViewSchema.Column column) =>
        new($"Column '{column.Name}' is not active in this cursor: include it in the needed columns.");

    public static InvalidOperationException WrongType<TValue>(string name, DataViewType type) =>
        new($"Invalid TValue in GetGetter: column '{name}' holds {type}, which is not read as {typeof(TValue)}.");
}

/// <summary>What both transformers consist of: the input column, the engine that runs the network, and the output columns.</summary>
/// <param name="input">Description of the input column.</param>
/// <param name="engine">The engine that runs the network; it is disposed with the scorer.</param>
/// <param name="options">How rows are scored.</param>
/// <param name="columns">The columns that are added, in this order.</param>
internal sealed class NetworkScorer(FeatureInput input, INetworkEngine engine, ScoringOptions options, IReadOnlyList<AddedColumn> columns) : IDisposable
{
    private long _invalidRowCount;

    public FeatureInput Input { get; } = input;

    public INetworkEngine Engine { get; } = engine;

    public IReadOnlyList<AddedColumn> Columns => columns;

    /// <summary>Whether rows without a usable image get a missing prediction; otherwise they are errors.</summary>
    public bool SkipInvalidRows => options.SkipInvalidRows;

    /// <summary>Maximum number of rows that are read before they are scored.</summary>
    public int MaximumBatch { get; } = options.BatchSize > 0 ? options.BatchSize : BatchScoringCursor.DefaultBatch;

    /// <summary>Number of invalid rows that were skipped since the scorer was created.</summary>
    public long InvalidRowCount => Interlocked.Read(ref _invalidRowCount);

    /// <summary>Is called for each invalid row that is skipped, on the thread that reads the rows; null for none.</summary>
    public Action<InvalidRowException>? InvalidRowSkipped { get; set; }

    public ScoringMapper Map(DataViewSchema inputSchema) => new(this, inputSchema, ImageFiles.Unknown);

    public IDataView Transform(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        return new ScoredView(input, new ScoringMapper(this, input.Schema, ImageFiles.Find(input, Input.ColumnName)));
    }

    /// <summary>Counts an invalid row that is skipped, and writes a warning for the first one.</summary>
    public void CountInvalidRow(InvalidRowException error)
    {
        InvalidRowSkipped?.Invoke(error);
        if (Interlocked.Increment(ref _invalidRowCount) != 1)
            return;
        using var channel = options.Host?.Start("Scoring");
        channel?.Warning(MessageSensitivity.UserData, "{0} The row has a missing prediction. Further rows of this kind are counted in InvalidRowCount.", error.Message);
    }

    public void Dispose() => Engine.Dispose();

    /// <summary>Creates the engine of a fused network.</summary>
    /// <exception cref="InvalidDataException">The network needs more memory than the limits of the options allow.</exception>
    public static InferenceEngine CreateEngine(DeployNetwork network, ScoringOptions options) => CreateEngine(QuantizedNetwork.WithoutIntegers(network), options);

    /// <summary>Creates the engine of a network for segmentation.</summary>
    /// <exception cref="InvalidDataException">The network needs more memory than the limits of the options allow, or cannot be run.</exception>
    public static SegmentationEngine CreateEngine(SegmentationNetwork network, ScoringOptions options)
    {
        try
        {
            return new SegmentationEngine(network, options.Threads, options.Limits);
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException($"The network cannot be run: {error.Message}.", error);
        }
    }

    /// <summary>Creates the engine of a network, which may have no integers.</summary>
    /// <exception cref="InvalidDataException">The network needs more memory than the limits of the options allow.</exception>
    public static InferenceEngine CreateEngine(QuantizedNetwork network, ScoringOptions options)
    {
        try
        {
            return network.HasIntegers ? new InferenceEngine(network, options.Threads, options.Limits) : new InferenceEngine(network.Dequantize(), options.Threads, options.Limits);
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException($"The network cannot be run: {error.Message}.", error);
        }
    }
}

/// <summary>How rows are scored.</summary>
/// <param name="Threads">Maximum number of threads for one batch; 0 for all cores.</param>
/// <param name="BatchSize">Maximum number of rows that are read before they are scored; 0 for the default.</param>
/// <param name="SkipInvalidRows">Whether rows without a usable image get a missing prediction; otherwise they are errors.</param>
/// <param name="Host">Receives warnings; null for none.</param>
internal sealed record ScoringOptions(int Threads, int BatchSize, bool SkipInvalidRows, IHost? Host)
{
    /// <summary>The views of an image that a classifier scores.</summary>
    public ScoringViews Views { get; init; }

    /// <summary>Limits on the memory of a network that was read from a file; null for another network.</summary>
    public WeightsFileLimits? Limits { get; init; }
}
