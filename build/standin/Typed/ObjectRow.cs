using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>The columns of the objects of a class, over one current object.</summary>
internal sealed class ObjectGetters<TRow>
    where TRow : class
{
    private readonly DataViewSchema _schema;
    private readonly Delegate[] _getters;

    internal ObjectGetters(RowType<TRow> type, DataViewSchema schema, bool[] active, Func<TRow> current)
    {
        _schema = schema;
        _getters = new Delegate[schema.Count];
        for (int i = 0; i < _getters.Length; i++)
        {
            _getters[i] = active[i] ? type.Members[i].CreateGetter(current) : null;
        }
    }

    internal bool IsActive(DataViewSchema.Column column) =>
        column.Index < _getters.Length
            ? _getters[column.Index] is not null
            : throw new InvalidOperationException($"Column index must be between 0 and {_getters.Length}");

    internal ValueGetter<T> Get<T>(DataViewSchema.Column column)
    {
        Check.Param(IsActive(column), nameof(column), $"requested column '{column.Name}' not active");
        return _getters[column.Index] as ValueGetter<T>
            ?? throw Check.WrongGetterType(_schema[column.Index], typeof(T));
    }
}

/// <summary>A row over an object that is put in place by its owner.</summary>
internal sealed class ObjectRow<TRow> : DataViewRow
    where TRow : class
{
    private readonly ObjectGetters<TRow> _getters;
    private TRow _current;
    private long _position = -1;

    internal ObjectRow(RowType<TRow> type)
    {
        Schema = type.ToSchema();
        var active = new bool[Schema.Count];
        Array.Fill(active, true);
        _getters = new ObjectGetters<TRow>(
            type, Schema, active, () => _current ?? throw new InvalidOperationException(CursorBase.NoCurrentRow));
    }

    public override long Position => _position;

    public override long Batch => 0;

    public override DataViewSchema Schema { get; }

    public override ValueGetter<DataViewRowId> GetIdGetter() =>
        (ref DataViewRowId id) => id = new DataViewRowId((ulong)_position, 0);

    public override bool IsColumnActive(DataViewSchema.Column column) => _getters.IsActive(column);

    public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) => _getters.Get<TValue>(column);

    /// <summary>Moves to the next object.</summary>
    internal void Set(TRow row)
    {
        _current = row;
        _position++;
    }
}
