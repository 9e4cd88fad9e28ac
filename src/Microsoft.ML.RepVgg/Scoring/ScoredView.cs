using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>A data view that adds the scorer's columns to its source. They are computed lazily, in batches of rows.</summary>
internal sealed class ScoredView(IDataView source, ScoringMapper mapper) : IDataView
{
    public DataViewSchema Schema => mapper.OutputSchema;

    public bool CanShuffle => source.CanShuffle;

    public long? GetRowCount() => source.GetRowCount();

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null)
    {
        var needed = columnsNeeded.ToArray();
        // A cursor set of one cursor is used because GetRowCursor may read ahead on other threads: rows would be read before they
        // are needed, and a row that cannot be read would end the whole cursor.
        var rows = source.GetRowCursorSet(mapper.GetDependencies(needed), 1, rand)[0];
        try
        {
            return needed.Any(mapper.IsAdded) && BatchScoringCursor.CanScore(mapper, needed)
                ? new BatchScoringCursor(mapper, needed, rows)
                : new RowScoringCursor(mapper, needed, rows);
        }
        catch
        {
            rows.Dispose();
            throw;
        }
    }

    // Always returns one cursor, because the engine itself uses all cores.
    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];
}

/// <summary>Maps rows of a given input schema to rows with the scorer's columns added.</summary>
internal sealed class ScoringMapper : IRowToRowMapper
{
    /// <param name="scorer">The input column, the network and the output columns.</param>
    /// <param name="inputSchema">The schema of the input rows.</param>
    /// <param name="files">Where the files of the image column come from.</param>
    public ScoringMapper(NetworkScorer scorer, DataViewSchema inputSchema, ImageFiles files)
    {
        ArgumentNullException.ThrowIfNull(inputSchema);
        Scorer = scorer;
        InputSchema = inputSchema;
        Files = files;
        Input = scorer.Input.FindColumn(inputSchema);

        var builder = new DataViewSchema.Builder();
        builder.AddColumns(inputSchema);
        foreach (var column in scorer.Columns)
            builder.AddColumn(column.Name, column.Type, column.Annotate?.Invoke(inputSchema));
        OutputSchema = builder.ToSchema();
    }

    public NetworkScorer Scorer { get; }

    public DataViewSchema InputSchema { get; }

    public DataViewSchema OutputSchema { get; }

    /// <summary>The image column in the input schema.</summary>
    public DataViewSchema.Column Input { get; }

    /// <summary>Where the files of the image column come from.</summary>
    public ImageFiles Files { get; }

    /// <summary>Gets the getter of a column that this mapper adds.</summary>
    public ValueGetter<TValue> Getter<TValue>(DataViewSchema.Column column, OutputOfRow output) =>
        Scorer.Columns[column.Index - InputSchema.Count].Getter<TValue>(output);

    /// <summary>Whether this mapper adds a column of the output schema.</summary>
    public bool IsAdded(DataViewSchema.Column column) => column.Index >= InputSchema.Count;

    public IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns)
    {
        var needed = new SortedSet<int>();
        foreach (var column in dependingColumns)
        {
            if (!IsAdded(column))
            {
                needed.Add(column.Index);
                continue;
            }
            needed.UnionWith(PixelReader.ColumnsOf(Scorer.Input, Input, Files, InputSchema).Select(read => read.Index));
        }
        return needed.Select(index => InputSchema[index]);
    }

    public DataViewRow GetRow(DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns) => new ScoringRow(this, input, activeColumns);
}
