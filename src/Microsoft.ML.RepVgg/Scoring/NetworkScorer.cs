using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using RepVgg.Inference;
using RepVgg.Networks;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>Returns the output of the network for the current row.</summary>
internal delegate ReadOnlySpan<float> OutputOfRow();

/// <summary>An output column that scoring adds.</summary>
/// <param name="Name">Name of the column.</param>
/// <param name="Type">Type of the column.</param>
/// <param name="Annotations">Annotations of the column, or null.</param>
/// <param name="CreateGetter">Creates the getter of the column from the network's output: a ValueGetter of the raw type of <paramref name="Type"/>.</param>
internal sealed record AddedColumn(string Name, DataViewType Type, DataViewSchema.Annotations? Annotations, Func<OutputOfRow, Delegate> CreateGetter)
{
    public ValueGetter<TValue> Getter<TValue>(OutputOfRow output) => CreateGetter(output) as ValueGetter<TValue>
        ?? throw new InvalidOperationException($"Invalid TValue in GetGetter: column '{Name}' holds {Type}, which is not read as {typeof(TValue)}.");

    public static InvalidOperationException Inactive(DataViewSchema.Column column) =>
        new($"Column '{column.Name}' is not active in this cursor: include it in the needed columns.");
}

/// <summary>What both transformers consist of: the input column, the engine that runs the network, and the output columns.</summary>
/// <param name="input">Description of the input column.</param>
/// <param name="network">The network.</param>
/// <param name="threads">Maximum number of threads for one batch; 0 for all cores.</param>
/// <param name="columns">The columns that are added, in this order.</param>
internal sealed class NetworkScorer(FeatureInput input, DeployNetwork network, int threads, IReadOnlyList<AddedColumn> columns) : IDisposable
{
    public FeatureInput Input { get; } = input;

    public InferenceEngine Engine { get; } = new(network, threads);

    public IReadOnlyList<AddedColumn> Columns => columns;

    public ScoringMapper Map(DataViewSchema inputSchema) => new(this, inputSchema);

    public IDataView Transform(IDataView input)
    {
        ArgumentNullException.ThrowIfNull(input);
        return new ScoredView(input, Map(input.Schema));
    }

    public void Dispose()
    {
        Engine.Dispose();
        Input.Resizing?.Dispose();
    }
}
