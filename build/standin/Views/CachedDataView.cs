using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>
/// A view that keeps the columns that were asked for in memory, each read once. Columns whose values cannot be copied,
/// such as images, are left out, as ML.NET's cache leaves them out.
/// </summary>
internal sealed class CachedDataView : IDataView
{
    private readonly IDataView _source;
    private readonly ValueStore[] _stores;
    private readonly Lock _filling = new();
    private int _count = -1;

    internal CachedDataView(IDataView source)
    {
        _source = ColumnSubset.Where(source, column => ValueStore.CanHold(column.Type));
        _stores = new ValueStore[Schema.Count];
    }

    public bool CanShuffle => true;

    public DataViewSchema Schema => _source.Schema;

    public long? GetRowCount() => _count >= 0 ? _count : _source.GetRowCount();

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random rand = null)
    {
        bool[] active = ActiveSet.Of(columnsNeeded, Schema);
        Fill(active);
        int[] order = [.. Enumerable.Range(0, _count)];
        rand?.Shuffle(order);
        return new Cursor(Schema, [.. _stores.Select((store, i) => active[i] ? store : null)], order);
    }

    public DataViewRowCursor[] GetRowCursorSet(
        IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];

    /// <summary>Reads the columns that are active and not here yet, in one pass.</summary>
    internal void Fill(bool[] active)
    {
        lock (_filling)
        {
            DataViewSchema.Column[] missing =
                [.. Schema.Where(column => active[column.Index] && _stores[column.Index] is null)];
            if (missing.Length == 0 && _count >= 0)
            {
                return;
            }

            ValueStore[] stores = Array.ConvertAll(missing, column => ValueStore.Create(column.Type));
            using DataViewRowCursor cursor = _source.GetRowCursor(missing);
            Action<int>[] writers = [.. missing.Select((column, i) => stores[i].CreateWriter(cursor, column))];
            int count = 0;
            for (; cursor.MoveNext(); count++)
            {
                foreach (Action<int> write in writers)
                {
                    write(count);
                }
            }

            if (_count >= 0 && _count != count)
            {
                throw new InvalidOperationException(
                    $"The data to be cached had {_count} rows when it was first read, and {count} rows now.");
            }

            _count = count;
            for (int i = 0; i < missing.Length; i++)
            {
                _stores[missing[i].Index] = stores[i];
            }
        }
    }

    private sealed class Cursor(DataViewSchema schema, ValueStore[] stores, int[] order) : StoredCursor(schema, stores)
    {
        protected override int Index => order[Position];

        public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) =>
        {
            ThrowIfNoRow();
            id = new DataViewRowId((ulong)Index, 0);
        };

        protected override bool MoveNextCore() => Position + 1 < order.Length;
    }
}
