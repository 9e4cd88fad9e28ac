using System.Globalization;
using System.Reflection;
using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Reads the names of a key column's values.</summary>
internal static class KeyValues
{
    private const string Kind = "KeyValues";

    /// <summary>Reads one string per key from the column's KeyValues annotation; returns "1", "2", ... if the annotation is missing or has another length.</summary>
    public static IReadOnlyList<string> Read(DataViewSchema.Column column, int count) =>
        Find(column, Kind, count) ?? [.. Enumerable.Range(1, count).Select(key => key.ToString(CultureInfo.InvariantCulture))];

    /// <summary>Reads one string per class from the annotation of a score column that says which label each score belongs to; returns null if it is missing or has another length.</summary>
    public static IReadOnlyList<string>? OfScores(DataViewSchema.Column score, int count) => Find(score, "TrainingLabelValues", count);

    private static string[]? Find(DataViewSchema.Column column, string kind, int count)
    {
        if (column.Annotations.Schema.GetColumnOrNull(kind)?.Type is VectorDataViewType type)
        {
            var read = typeof(KeyValues)
                .GetMethod(nameof(ReadAs), BindingFlags.NonPublic | BindingFlags.Static)!
                .MakeGenericMethod(type.ItemType.RawType);
            var names = (string[])read.Invoke(null, [column.Annotations, kind])!;
            if (names.Length == count)
                return names;
        }
        return null;
    }

    /// <summary>Checks that the keys of a label column stand for the same classes as those of the training data. Otherwise metrics would be wrong without an error.</summary>
    /// <exception cref="ArgumentException">They do not.</exception>
    public static void CheckSame(DataViewSchema.Column label, DataViewSchema.Column trained, int classes)
    {
        if (!label.Type.Equals(trained.Type) || !Read(label, classes).SequenceEqual(Read(trained, classes)))
            throw new ArgumentException($"The label column '{label.Name}' of the validation set has other keys ({label.Type}) than that of the training data ({trained.Type}). Map both with the same fitted MapValueToKey.");
    }

    /// <summary>Whether the mapping of a key column was fitted to no rows. MapValueToKey then gives a type of one key, without key values.</summary>
    public static bool HasNone(DataViewSchema.Column column) =>
        column.Type is KeyDataViewType { Count: <= 1 } && column.Annotations.Schema.GetColumnOrNull(Kind) is null;

    private static string[] ReadAs<T>(DataViewSchema.Annotations annotations, string kind)
    {
        VBuffer<T> values = default;
        annotations.GetValue(kind, ref values);
        return [.. values.DenseValues().Select(value => Convert.ToString(value, CultureInfo.InvariantCulture) ?? "")];
    }
}
