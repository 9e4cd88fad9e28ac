using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>Returns the output of the network for the current row.</summary>
internal delegate ReadOnlySpan<float> OutputOfRow();

/// <summary>An output column that scoring adds.</summary>
/// <param name="Name">Name of the column.</param>
/// <param name="Type">Type of the column.</param>
/// <param name="Annotations">Annotations of the column, or null.</param>
/// <param name="CreateGetter">Creates the getter of the column from the network's output: a ValueGetter of the raw type of <paramref name="Type"/>.</param>
internal sealed record AddedColumn(string Name, DataViewType Type, DataViewSchema.Annotations? Annotations, Func<OutputOfRow, Delegate> CreateGetter)
{
    public ValueGetter<TValue> Getter<TValue>(OutputOfRow output) => CreateGetter(output) as ValueGetter<TValue>
        ?? throw new InvalidOperationException($"Invalid TValue in GetGetter: column '{Name}' holds {Type}, which is not read as {typeof(TValue)}.");

    public static InvalidOperationException Inactive(DataViewSchema.Column column) =>
        new($"Column '{column.Name}' is not active in this cursor: include it in the needed columns.");
}
