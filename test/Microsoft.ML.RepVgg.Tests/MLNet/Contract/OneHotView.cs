using Microsoft.ML;
using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>A view written outside ML.NET: n rows, row i with label i and the i-th unit vector of dimensions (1, n).</summary>
internal sealed class OneHotView : IDataView
{
    private readonly int _classes;

    public OneHotView(int classes, string features = "Features")
    {
        _classes = classes;
        DataViewSchema.Builder schema = new();
        schema.AddColumn("Label", new KeyDataViewType(typeof(uint), classes));
        schema.AddColumn(features, new VectorDataViewType(NumberDataViewType.Single, 1, classes));
        Schema = schema.ToSchema();
    }

    public bool CanShuffle => false;

    public DataViewSchema Schema { get; }

    public long? GetRowCount() => _classes;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null) =>
        new Cursor(this, columnsNeeded);

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];

    private sealed class Cursor(OneHotView view, IEnumerable<DataViewSchema.Column> columns) : DataViewRowCursor
    {
        private readonly HashSet<int> _active = [.. columns.Select(column => column.Index)];
        private long _position = -1;

        public override long Position => _position;

        public override long Batch => 0;

        public override DataViewSchema Schema => view.Schema;

        public override bool MoveNext() => ++_position < view._classes;

        public override bool IsColumnActive(DataViewSchema.Column column) => _active.Contains(column.Index);

        public override ValueGetter<DataViewRowId> GetIdGetter() =>
            (ref DataViewRowId value) => value = new DataViewRowId((ulong)_position, 0);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) =>
            (ValueGetter<TValue>)(column.Index == 0
                ? (Delegate)(ValueGetter<uint>)((ref uint value) => value = (uint)_position + 1)
                : (ValueGetter<VBuffer<float>>)((ref VBuffer<float> value) =>
                    value = new VBuffer<float>(view._classes, 1, [1], [(int)_position])));
    }
}
