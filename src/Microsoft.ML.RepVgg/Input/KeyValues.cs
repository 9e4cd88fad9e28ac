using System.Globalization;
using System.Reflection;
using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Reads the names of a key column's values.</summary>
internal static class KeyValues
{
    private const string Kind = "KeyValues";

    /// <summary>Reads one string per key from the column's KeyValues annotation; returns "1", "2", ... if the annotation is missing or has another length.</summary>
    public static IReadOnlyList<string> Read(DataViewSchema.Column column, int count)
    {
        if (column.Annotations.Schema.GetColumnOrNull(Kind)?.Type is VectorDataViewType type)
        {
            var read = typeof(KeyValues)
                .GetMethod(nameof(ReadAs), BindingFlags.NonPublic | BindingFlags.Static)!
                .MakeGenericMethod(type.ItemType.RawType);
            var names = (string[])read.Invoke(null, [column.Annotations])!;
            if (names.Length == count)
                return names;
        }
        return [.. Enumerable.Range(1, count).Select(key => key.ToString(CultureInfo.InvariantCulture))];
    }

    /// <summary>Whether the mapping of a key column was fitted to no rows. MapValueToKey then gives a type of one key, without key values.</summary>
    public static bool HasNone(DataViewSchema.Column column) =>
        column.Type is KeyDataViewType { Count: <= 1 } && column.Annotations.Schema.GetColumnOrNull(Kind) is null;

    private static string[] ReadAs<T>(DataViewSchema.Annotations annotations)
    {
        VBuffer<T> values = default;
        annotations.GetValue(Kind, ref values);
        return [.. values.DenseValues().Select(value => Convert.ToString(value, CultureInfo.InvariantCulture) ?? "")];
    }
}
