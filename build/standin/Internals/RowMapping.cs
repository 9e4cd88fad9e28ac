namespace Microsoft.ML.Standin;

/// <summary>
/// A row-to-row computation bound to an input schema: which columns it adds, which input columns each of them needs,
/// and how their values are computed. This is all that a transformer has to write; <see cref="RowMapper"/> and
/// <see cref="MappedDataView"/> turn it into an <see cref="Data.IRowToRowMapper"/> and a data view.
/// </summary>
internal abstract class RowMapping
{
    private DataViewSchema.DetachedColumn[] _outputs;

    protected RowMapping(DataViewSchema inputSchema)
    {
        Check.NotNull(inputSchema, nameof(inputSchema));
        InputSchema = inputSchema;
    }

    internal DataViewSchema InputSchema { get; }

    /// <summary>The added columns, in order.</summary>
    internal DataViewSchema.DetachedColumn[] Outputs => _outputs ??= GetOutputs();

    /// <summary>The indices of the input columns that the added column <paramref name="output"/> is computed from.</summary>
    internal abstract IEnumerable<int> GetDependencies(int output);

    /// <summary>
    /// Getters over <paramref name="input"/>, one for each added column, null where <paramref name="isActive"/> is
    /// false. Overridden where columns share work; the default makes each on its own.
    /// </summary>
    /// <param name="dispose">What to call when the row or cursor is disposed, or null.</param>
    internal virtual Delegate[] CreateGetters(DataViewRow input, Func<int, bool> isActive, out Action dispose)
    {
        dispose = null;
        var getters = new Delegate[Outputs.Length];
        for (int i = 0; i < getters.Length; i++)
        {
            if (isActive(i))
            {
                getters[i] = CreateGetter(input, i, out Action disposeOne);
                dispose += disposeOne;
            }
        }

        return getters;
    }

    /// <summary>Describes the added columns; called once.</summary>
    protected abstract DataViewSchema.DetachedColumn[] GetOutputs();

    /// <summary>
    /// A <see cref="ValueGetter{TValue}"/> of the column's raw type for the added column <paramref name="output"/>.
    /// Values are computed when it is called, from the row that <paramref name="input"/> is at then.
    /// </summary>
    protected abstract Delegate CreateGetter(DataViewRow input, int output, out Action dispose);
}
