using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>The logits of the current row.</summary>
internal delegate ReadOnlySpan<float> LogitsOfRow();

/// <summary>Getters of the two columns that scoring adds.</summary>
internal static class AddedColumn
{
    public static ValueGetter<TValue> Getter<TValue>(ScoringMapper mapper, DataViewSchema.Column column, LogitsOfRow logits)
    {
        Delegate getter = column.Index == mapper.Score.Index
            ? (ValueGetter<VBuffer<float>>)((ref VBuffer<float> value) => Probabilities.Write(logits(), ref value))
            : (ValueGetter<uint>)((ref uint value) => value = Probabilities.PredictedKey(logits()));
        return getter as ValueGetter<TValue>
            ?? throw new InvalidOperationException($"Invalid TValue in GetGetter: column '{column.Name}' holds {column.Type}, which is not read as {typeof(TValue)}.");
    }

    public static InvalidOperationException Inactive(DataViewSchema.Column column) =>
        new($"Column '{column.Name}' is not active in this cursor: name it among the columns needed.");
}
