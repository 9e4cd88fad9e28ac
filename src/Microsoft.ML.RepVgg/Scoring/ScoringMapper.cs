using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>Maps rows of a given input schema to rows with the scorer's columns added.</summary>
internal sealed class ScoringMapper : IRowToRowMapper
{
    private readonly IRowToRowMapper? _preprocessing;

    public ScoringMapper(NetworkScorer scorer, DataViewSchema inputSchema)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        Scorer = scorer;
        InputSchema = inputSchema;
        var input = scorer.Input;
        Input = inputSchema.GetColumnOrNull(input.ColumnName) ?? throw input.Missing(nameof(inputSchema));
        _preprocessing = ((ITransformer?)input.Preprocessing)?.GetRowToRowMapper(inputSchema);
        Pixels = input.FindPixels(_preprocessing?.OutputSchema ?? inputSchema);

        var builder = new DataViewSchema.Builder();
        builder.AddColumns(inputSchema);
        foreach (var column in scorer.Columns)
            builder.AddColumn(column.Name, column.Type, column.Annotations);
        OutputSchema = builder.ToSchema();
    }

    public NetworkScorer Scorer { get; }

    public DataViewSchema InputSchema { get; }

    public DataViewSchema OutputSchema { get; }

    /// <summary>The image column in the input schema.</summary>
    public DataViewSchema.Column Input { get; }

    /// <summary>The pixel column, in the input schema or in the output schema of the preprocessing.</summary>
    public DataViewSchema.Column Pixels { get; }

    /// <summary>Gets the getter of a column that this mapper adds.</summary>
    public ValueGetter<TValue> Getter<TValue>(DataViewSchema.Column column, OutputOfRow output) =>
        Scorer.Columns[column.Index - InputSchema.Count].Getter<TValue>(output);

    /// <summary>Whether this mapper adds a column of the output schema.</summary>
    public bool IsAdded(DataViewSchema.Column column) => column.Index >= InputSchema.Count;

    public IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns)
    {
        var needed = new SortedSet<int>();
        foreach (var column in dependingColumns)
            needed.Add(IsAdded(column) ? Input.Index : column.Index);
        return needed.Select(index => InputSchema[index]);
    }

    public DataViewRow GetRow(DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns) => new ScoringRow(this, input, activeColumns);

    /// <summary>Gets a row that contains the pixel column: the input row itself, or the result of preprocessing it.</summary>
    public DataViewRow PixelRow(DataViewRow input) => _preprocessing?.GetRow(input, [Pixels]) ?? input;
}
