using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>A data view of n rows for n classes. Row i has the label key i, from 1, and a one-hot feature vector of type Vector&lt;Single, 1, n&gt;.</summary>
/// <remarks>
/// The view is implemented here because the label column must have exactly the user's key type and annotations, and the
/// feature column must have exactly the type of the ONNX transformer's output.
/// </remarks>
internal sealed class OneHotView : IDataView
{
    private readonly int _classes;

    public OneHotView(DataViewSchema.Column label, string featureName, int classes)
    {
        _classes = classes;
        var builder = new DataViewSchema.Builder();
        builder.AddColumn(label.Name, label.Type, label.Annotations);
        builder.AddColumn(featureName, new VectorDataViewType(NumberDataViewType.Single, 1, classes));
        Schema = builder.ToSchema();
    }

    public DataViewSchema Schema { get; }

    public bool CanShuffle => false;

    public long? GetRowCount() => _classes;

    public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null) =>
        new Cursor(this, columnsNeeded);

    public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) =>
        [GetRowCursor(columnsNeeded, rand)];

    private sealed class Cursor(OneHotView view, IEnumerable<DataViewSchema.Column> columnsNeeded) : DataViewRowCursor
    {
        private readonly HashSet<int> _active = [.. columnsNeeded.Select(column => column.Index)];
        private long _position = -1;

        public override DataViewSchema Schema => view.Schema;

        public override long Position => _position;

        public override long Batch => 0;

        public override bool IsColumnActive(DataViewSchema.Column column) => _active.Contains(column.Index);

        public override bool MoveNext()
        {
            if (_position + 1 >= view._classes)
            {
                _position = -1;
                return false;
            }
            _position++;
            return true;
        }

        public override ValueGetter<DataViewRowId> GetIdGetter() =>
            (ref DataViewRowId id) => id = new DataViewRowId((ulong)_position, 0);

        public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
        {
            Delegate getter = column.Index == 0 ? (ValueGetter<uint>)GetLabel : (ValueGetter<VBuffer<float>>)GetFeatures;
            return getter as ValueGetter<TValue>
                ?? throw new InvalidOperationException($"Column '{column.Name}' holds {column.Type}, not {typeof(TValue)}.");
        }

        private void GetLabel(ref uint value) => value = (uint)_position + 1;

        private void GetFeatures(ref VBuffer<float> value)
        {
            var editor = VBufferEditor.Create(ref value, view._classes);
            editor.Values.Clear();
            editor.Values[(int)_position] = 1;
            value = editor.Commit();
        }
    }
}
