using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>Some of the columns of a schema, in an order of their own.</summary>
internal sealed class ColumnSubset : IRowToRowMapper
{
    private readonly int[] _sources;

    internal ColumnSubset(DataViewSchema input, IEnumerable<int> sources)
    {
        InputSchema = input;
        _sources = [.. sources];
        var builder = new DataViewSchema.Builder();
        builder.AddColumns(_sources.Select(index => input[index]));
        OutputSchema = builder.ToSchema();
    }

    public DataViewSchema InputSchema { get; }

    public DataViewSchema OutputSchema { get; }

    public IEnumerable<DataViewSchema.Column> GetDependencies(IEnumerable<DataViewSchema.Column> dependingColumns)
    {
        var needed = new bool[InputSchema.Count];
        foreach (DataViewSchema.Column column in dependingColumns)
        {
            needed[_sources[column.Index]] = true;
        }

        return [.. InputSchema.Where(column => needed[column.Index])];
    }

    public DataViewRow GetRow(DataViewRow input, IEnumerable<DataViewSchema.Column> activeColumns) =>
        new Row(input, this);

    /// <summary>A view of the columns that <paramref name="keep"/> is true for; the view itself if those are all.</summary>
    internal static IDataView Where(IDataView source, Func<DataViewSchema.Column, bool> keep)
    {
        DataViewSchema.Column[] kept = [.. source.Schema.Where(keep)];
        return kept.Length == source.Schema.Count
            ? source
            : new View(source, new ColumnSubset(source.Schema, kept.Select(column => column.Index)));
    }

    private DataViewSchema.Column SourceOf(DataViewSchema.Column column, DataViewRow input) =>
        input.Schema[_sources[column.Index]];

    /// <summary>A data view with the columns of the subset only.</summary>
    internal sealed class View(IDataView source, ColumnSubset subset) : IDataView
    {
        public bool CanShuffle => source.CanShuffle;

        public DataViewSchema Schema => subset.OutputSchema;

        public long? GetRowCount() => source.GetRowCount();

        public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null)
        {
            bool[] active = ActiveSet.Of(columnsNeeded, Schema);
            return new Cursor(source.GetRowCursor(Dependencies(active), rand), subset, active);
        }

        public DataViewRowCursor[] GetRowCursorSet(
            IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null)
        {
            bool[] active = ActiveSet.Of(columnsNeeded, Schema);
            return Array.ConvertAll(
                source.GetRowCursorSet(Dependencies(active), n, rand), input => new Cursor(input, subset, active));
        }

        private IEnumerable<DataViewSchema.Column> Dependencies(bool[] active) =>
            subset.GetDependencies(Schema.Where(column => active[column.Index]));
    }

    private sealed class Row(DataViewRow input, ColumnSubset subset) : DataViewRow
    {
        public override long Position => input.Position;

        public override long Batch => input.Batch;

        public override DataViewSchema Schema => subset.OutputSchema;

        public override ValueGetter<DataViewRowId> GetIdGetter() => input.GetIdGetter();

        public override bool IsColumnActive(DataViewSchema.Column column) =>
            input.IsColumnActive(subset.SourceOf(column, input));

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) =>
            input.GetGetter<TValue>(subset.SourceOf(column, input));

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                input.Dispose();
            }
        }
    }

    private sealed class Cursor(DataViewRowCursor input, ColumnSubset subset, bool[] active) : LinkedCursor(input)
    {
        public override DataViewSchema Schema => subset.OutputSchema;

        public override bool IsColumnActive(DataViewSchema.Column column) => active[column.Index];

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) =>
            IsColumnActive(column)
                ? Input.GetGetter<TValue>(subset.SourceOf(column, Input))
                : throw Check.InactiveColumn(column);
    }
}
