namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>A data view with the scorer's columns added, computed lazily and many rows at a time.</summary>
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

        // Two cursors over the same rows, the second one ahead by up to a batch: equally seeded where the rows are shuffled.
        int? seed = rand?.Next();
        return new BatchScoringCursor(mapper, needed, source.GetRowCursor(passed, Seeded()), source.GetRowCursor([mapper.Input], Seeded()));

        Random? Seeded() => seed is { } value ? new Random(value) : null;
    }

    // One cursor, whatever was asked for: the engine uses all cores by itself.
    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];
}
