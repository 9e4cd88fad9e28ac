using Microsoft.ML.Data;
using Microsoft.ML.Standin;

namespace Microsoft.ML;

public sealed partial class DataOperationsCatalog
{
    public IDataView LoadFromEnumerable<TRow>(IEnumerable<TRow> data, SchemaDefinition schemaDefinition = null)
        where TRow : class
    {
        Check.NotNull(data, nameof(data));
        return new EnumerableDataView<TRow>(
            data, RowType<TRow>.Create(schemaDefinition, SchemaDefinition.Direction.Read));
    }

    public IDataView LoadFromEnumerable<TRow>(IEnumerable<TRow> data, DataViewSchema schema)
        where TRow : class
    {
        Check.NotNull(data, nameof(data));
        Check.NotNull(schema, nameof(schema));
        return LoadFromEnumerable(data, DefinitionFor<TRow>(schema));
    }

    public IEnumerable<TRow> CreateEnumerable<TRow>(
        IDataView data,
        bool reuseRowObject,
        bool ignoreMissingColumns = false,
        SchemaDefinition schemaDefinition = null)
        where TRow : class, new()
    {
        Check.NotNull(data, nameof(data));
        var binder = new RowBinder<TRow>(data.Schema, ignoreMissingColumns, schemaDefinition);
        return Rows(data, binder, reuseRowObject);
    }

    /// <summary>The definition of a class with the types and annotations of a schema.</summary>
    internal static SchemaDefinition DefinitionFor<TRow>(DataViewSchema schema)
    {
        SchemaDefinition definition = SchemaDefinition.Create(typeof(TRow), SchemaDefinition.Direction.Read);
        foreach (DataViewSchema.Column column in schema)
        {
            SchemaDefinition.Column member = definition[column.Name]
                ?? throw new InvalidOperationException($"Type should contain a member named {column.Name}");
            member.ColumnType = column.Type;
            member.SetAnnotations(column.Annotations);
        }

        return definition;
    }

    private static IEnumerable<TRow> Rows<TRow>(IDataView data, RowBinder<TRow> binder, bool reuseRowObject)
        where TRow : class, new()
    {
        using DataViewRowCursor cursor = data.GetRowCursor(binder.Columns);
        Action<TRow> fill = binder.Bind(cursor);
        TRow row = null;
        while (cursor.MoveNext())
        {
            if (row is null || !reuseRowObject)
            {
                row = new TRow();
            }

            fill(row);
            yield return row;
        }
    }
}
