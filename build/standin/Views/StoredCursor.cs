using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>A cursor over stored values, in an order given by its owner.</summary>
internal abstract class StoredCursor(DataViewSchema schema, ValueStore[] stores) : CursorBase
{
    public sealed override DataViewSchema Schema => schema;

    /// <summary>Where the values of the current row are stored.</summary>
    protected abstract int Index { get; }

    public sealed override bool IsColumnActive(DataViewSchema.Column column) => stores[column.Index] is not null;

    public sealed override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column)
    {
        if (!IsColumnActive(column))
        {
            throw Check.InactiveColumn(column);
        }

        return stores[column.Index].CreateGetter(Current) as ValueGetter<TValue>
            ?? throw Check.WrongGetterType(schema[column.Index], typeof(TValue));
    }

    private int Current()
    {
        ThrowIfNoRow();
        return Index;
    }
}
