namespace Microsoft.ML.Standin;

/// <summary>Which columns of a schema are wanted, by index.</summary>
internal static class ActiveSet
{
    internal static bool[] Of(IEnumerable<DataViewSchema.Column> columns, DataViewSchema schema)
    {
        var active = new bool[schema.Count];
        foreach (DataViewSchema.Column column in columns ?? [])
        {
            if (column.Index >= active.Length || schema[column.Index].Name != column.Name)
            {
                throw new InvalidOperationException($"Column '{column.Name}' is not from the view's schema.");
            }

            active[column.Index] = true;
        }

        return active;
    }
}
