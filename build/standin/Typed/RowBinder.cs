using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>The columns of a schema, bound to the members of a class that their values are stored in.</summary>
internal sealed class RowBinder<TRow>
    where TRow : class
{
    private readonly List<(RowType<TRow>.Member Member, DataViewSchema.Column Column)> _bound = [];

    internal RowBinder(DataViewSchema schema, bool ignoreMissingColumns, SchemaDefinition definition)
    {
        foreach (RowType<TRow>.Member member in
            RowType<TRow>.Create(definition, SchemaDefinition.Direction.Write).Members)
        {
            if (schema.GetColumnOrNull(member.Name) is not DataViewSchema.Column column)
            {
                if (ignoreMissingColumns)
                {
                    continue;
                }

                throw Check.MissingColumn("Schema", "", member.Name);
            }

            if (!member.Accepts(column.Type))
            {
                throw new InvalidOperationException(
                    $"Can't bind the IDataView column '{member.Name}' of type '{column.Type}' to field or property '{member.MemberName}' of type '{member.MemberType.FullName}'.");
            }

            _bound.Add((member, column));
        }
    }

    /// <summary>The columns that are stored.</summary>
    internal IEnumerable<DataViewSchema.Column> Columns => _bound.Select(pair => pair.Column);

    /// <summary>An action that stores the values of the current row in an object.</summary>
    internal Action<TRow> Bind(DataViewRow row)
    {
        Action<TRow>[] setters = [.. _bound.Select(pair => pair.Member.CreateSetter(row, pair.Column))];
        return target =>
        {
            foreach (Action<TRow> setter in setters)
            {
                setter(target);
            }
        };
    }
}
