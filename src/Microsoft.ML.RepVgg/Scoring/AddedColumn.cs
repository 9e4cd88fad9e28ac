using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>What the network gives for the current row.</summary>
internal delegate ReadOnlySpan<float> OutputOfRow();

/// <summary>A column that scoring adds.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">Its type.</param>
/// <param name="Annotations">Its annotations.</param>
/// <param name="CreateGetter">Makes its getter, of the type's raw type, from the network's output.</param>
internal sealed record AddedColumn(string Name, DataViewType Type, DataViewSchema.Annotations? Annotations, Func<OutputOfRow, Delegate> CreateGetter)
{
    public ValueGetter<TValue> Getter<TValue>(OutputOfRow output) => CreateGetter(output) as ValueGetter<TValue>
        ?? throw new InvalidOperationException($"Invalid TValue in GetGetter: column '{Name}' holds {Type}, which is not read as {typeof(TValue)}.");

    public static InvalidOperationException Inactive(DataViewSchema.Column column) =>
        new($"Column '{column.Name}' is not active in this cursor: name it among the columns needed.");
}
