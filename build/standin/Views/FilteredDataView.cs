using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>The rows of a view that pass a test.</summary>
internal abstract class FilteredDataView(IDataView source) : IDataView
{
    public virtual bool CanShuffle => Source.CanShuffle;

    public DataViewSchema Schema => Source.Schema;

    protected IDataView Source { get; } = source;

    public virtual long? GetRowCount() => null;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null)
    {
        bool[] active = ActiveSet.Of(columnsNeeded, Schema);
        IEnumerable<DataViewSchema.Column> needed = Schema.Where(column => active[column.Index] || Tests(column));
        DataViewRowCursor input = Source.GetRowCursor(needed, CanShuffle ? rand : null);
        return new Cursor(input, active, CreateTest(input));
    }

    public DataViewRowCursor[] GetRowCursorSet(
        IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];

    /// <summary>Whether the test reads a column.</summary>
    protected virtual bool Tests(DataViewSchema.Column column) => false;

    /// <summary>The test: called once for each row, in order.</summary>
    protected abstract Func<Verdict> CreateTest(DataViewRow row);

    /// <summary>What becomes of a row.</summary>
    protected enum Verdict
    {
        Keep,
        Skip,

        /// <summary>The row and all after it are left out.</summary>
        Stop,
    }

    private sealed class Cursor(DataViewRowCursor input, bool[] active, Func<Verdict> test) : CursorBase
    {
        public override DataViewSchema Schema => input.Schema;

        public override long Batch => input.Batch;

        public override ValueGetter<DataViewRowId> GetIdGetter() => input.GetIdGetter();

        public override bool IsColumnActive(DataViewSchema.Column column) => active[column.Index];

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) =>
            IsColumnActive(column) ? input.GetGetter<TValue>(column) : throw Check.InactiveColumn(column);

        protected override bool MoveNextCore()
        {
            while (input.MoveNext())
            {
                switch (test())
                {
                    case Verdict.Keep:
                        return true;
                    case Verdict.Stop:
                        return false;
                }
            }

            return false;
        }

        protected override void Release() => input.Dispose();
    }
}

/// <summary>The rows from one position to another.</summary>
internal sealed class RowSlice(IDataView source, long skip, long take) : FilteredDataView(source)
{
    /// <summary>Which rows come first must not depend on chance.</summary>
    public override bool CanShuffle => false;

    public override long? GetRowCount() =>
        Source.GetRowCount() is long count ? Math.Min(take, Math.Max(0, count - skip)) : null;

    protected override Func<Verdict> CreateTest(DataViewRow row)
    {
        long seen = 0;
        long taken = 0;
        return () => seen++ < skip ? Verdict.Skip : taken++ < take ? Verdict.Keep : Verdict.Stop;
    }
}

/// <summary>The rows with a number of a column in a range, or outside of it.</summary>
internal sealed class RangeFilter : FilteredDataView
{
    private readonly DataViewSchema.Column _column;
    private readonly Func<double, bool> _keep;

    internal RangeFilter(IDataView source, string column, Func<double, bool> keep)
        : base(source)
    {
        _column = source.Schema[column];
        _keep = keep;
        Check.Param(
            _column.Type is KeyDataViewType
                || _column.Type == NumberDataViewType.Single
                || _column.Type == NumberDataViewType.Double,
            "column",
            $"Schema mismatch for filter column '{column}': expected Single, Double or Key, got {_column.Type}");
    }

    protected override bool Tests(DataViewSchema.Column column) => column.Index == _column.Index;

    protected override Func<Verdict> CreateTest(DataViewRow row)
    {
        Func<double> read = NumberReader.Create(row, _column);
        return () =>
        {
            // What is missing is neither inside nor outside.
            double value = read();
            return !double.IsNaN(value) && _keep(value) ? Verdict.Keep : Verdict.Skip;
        };
    }
}
