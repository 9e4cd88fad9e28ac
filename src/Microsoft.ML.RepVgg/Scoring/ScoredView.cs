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
        var passed = needed.Where(column => !mapper.IsAdded(column)).Select(column => mapper.InputSchema[column.Index]).ToArray();
        if (passed.Length == needed.Length)
            return new BatchScoringCursor(mapper, needed, source.GetRowCursor(passed, rand), null);

        // Two cursors read the same rows; the second one is ahead by up to a batch. If rows are shuffled, both get the same seed.
        int? seed = rand?.Next();
        return new BatchScoringCursor(mapper, needed, source.GetRowCursor(passed, Seeded()), source.GetRowCursor([mapper.Input], Seeded()));

        Random? Seeded() => seed is { } value ? new Random(value) : null;
    }

    // Always returns one cursor, because the engine itself uses all cores.
    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];
}
