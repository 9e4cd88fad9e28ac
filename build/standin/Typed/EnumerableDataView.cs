using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>Objects in memory, or made as they are asked for, as a data view.</summary>
internal sealed class EnumerableDataView<TRow> : IDataView
    where TRow : class
{
    private readonly IEnumerable<TRow> _rows;
    private readonly RowType<TRow> _type;

    internal EnumerableDataView(IEnumerable<TRow> rows, RowType<TRow> type)
    {
        _rows = rows;
        _type = type;
        Schema = type.ToSchema();
    }

    public bool CanShuffle => false;

    public DataViewSchema Schema { get; }

    public long? GetRowCount() => (_rows as ICollection<TRow>)?.Count;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null) =>
        new Cursor(this, ActiveSet.Of(columnsNeeded, Schema));

    public DataViewRowCursor[] GetRowCursorSet(
        IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];

    private sealed class Cursor : CursorBase
    {
        private readonly EnumerableDataView<TRow> _view;
        private readonly IEnumerator<TRow> _enumerator;
        private readonly ObjectGetters<TRow> _getters;

        internal Cursor(EnumerableDataView<TRow> view, bool[] active)
        {
            _view = view;
            _enumerator = view._rows.GetEnumerator();
            _getters = new ObjectGetters<TRow>(view._type, view.Schema, active, Current);
        }

        public override DataViewSchema Schema => _view.Schema;

        public override bool IsColumnActive(DataViewSchema.Column column) => _getters.IsActive(column);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) =>
            _getters.Get<TValue>(column);

        protected override bool MoveNextCore()
        {
            if (!_enumerator.MoveNext())
            {
                return false;
            }

            return _enumerator.Current is not null
                ? true
                : throw new InvalidOperationException(
                    "Encountered null when iterating over data, this is not supported.");
        }

        protected override void Release() => _enumerator.Dispose();

        private TRow Current()
        {
            ThrowIfNoRow();
            return _enumerator.Current;
        }
    }
}
