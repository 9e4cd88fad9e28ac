namespace Microsoft.ML.Standin;

/// <summary>
/// The schema that results from adding columns: new names at the end, a name that exists already right after the
/// column that it hides.
/// </summary>
internal sealed class ColumnBindings
{
    /// <summary>For each output column its input column, or the complement of the index of an added one.</summary>
    private readonly int[] _origins;

    internal ColumnBindings(DataViewSchema input, IReadOnlyList<DataViewSchema.DetachedColumn> added)
    {
        var origins = Enumerable.Range(0, input.Count).ToList();
        for (int i = 0; i < added.Count; i++)
        {
            string name = added[i].Name;
            int at = origins.FindLastIndex(origin => (origin >= 0 ? input[origin].Name : added[~origin].Name) == name);
            origins.Insert(at >= 0 ? at + 1 : origins.Count, ~i);
        }

        _origins = [.. origins];
        var builder = new DataViewSchema.Builder();
        foreach (int origin in _origins)
        {
            DataViewSchema.DetachedColumn column =
                origin >= 0 ? new DataViewSchema.DetachedColumn(input[origin]) : added[~origin];
            builder.AddColumn(column.Name, column.Type, column.Annotations);
        }

        Schema = builder.ToSchema();
    }

    internal DataViewSchema Schema { get; }

    /// <summary>Whether the output column is an input column, and its index among those, or among the added ones.</summary>
    internal bool IsInput(int output, out int index)
    {
        int origin = _origins[output];
        index = origin >= 0 ? origin : ~origin;
        return origin >= 0;
    }
}
