using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Tests.MLNet;

/// <summary>A view of a label and features of type Vector&lt;Single, 1, n&gt;. Row i has the label key i, from 1, and a one-hot vector, or the features that are given.</summary>
internal sealed class OneHotView(DataViewSchema schema, int classes) : IDataView
{
    /// <summary>The features of the rows; null for one one-hot row per class.</summary>
    public float[][]? Rows { get; init; }

    public DataViewSchema Schema => schema;

    public bool CanShuffle => false;

    public long? GetRowCount() => Rows?.Length ?? classes;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null) => new Cursor(this, classes);

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) => [GetRowCursor(columnsNeeded, rand)];

    private sealed class Cursor(OneHotView view, int classes) : DataViewRowCursor
    {
        private long _position = -1;

        public override DataViewSchema Schema => view.Schema;

        public override long Position => _position;

        public override long Batch => 0;

        public override bool IsColumnActive(DataViewSchema.Column column) => true;

        public override bool MoveNext()
        {
            _position = _position + 1 < view.GetRowCount() ? _position + 1 : -1;
            return _position >= 0;
        }

        public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) => id = new DataViewRowId((ulong)_position, 0);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) =>
            (ValueGetter<TValue>)(column.Index == 0 ? (Delegate)(ValueGetter<uint>)GetLabel : (ValueGetter<VBuffer<float>>)GetFeatures);

        private void GetLabel(ref uint value) => value = (uint)_position + 1;

        private void GetFeatures(ref VBuffer<float> value)
        {
            float[] features = view.Rows?[_position] ?? new float[classes];
            if (view.Rows is null)
                features[_position] = 1;
            value = new VBuffer<float>(classes, features);
        }
    }
}
