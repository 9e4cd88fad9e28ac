using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Short ways to look into data views.</summary>
internal static class Columns
{
    public static string[] Names(this DataViewSchema schema) => [.. schema.Select(column => column.Name)];

    /// <summary>All values of a scalar column.</summary>
    public static T[] Values<T>(this IDataView view, string name)
    {
        DataViewSchema.Column column = view.Schema[name];
        using DataViewRowCursor cursor = view.GetRowCursor([column]);
        ValueGetter<T> getter = cursor.GetGetter<T>(column);
        List<T> values = [];
        while (cursor.MoveNext())
        {
            T value = default!;
            getter(ref value);
            values.Add(value);
        }

        return [.. values];
    }

    public static string[] Texts(this IDataView view, string name) =>
        [.. view.Values<ReadOnlyMemory<char>>(name).Select(text => text.ToString())];

    public static T[][] Vectors<T>(this IDataView view, string name) =>
        [.. view.Values<VBuffer<T>>(name).Select(vector => vector.DenseValues().ToArray())];

    /// <summary>The texts behind the keys of a column.</summary>
    public static string[] KeyTexts(this DataViewSchema.Column column)
    {
        VBuffer<ReadOnlyMemory<char>> values = default;
        column.GetKeyValues(ref values);
        return [.. values.DenseValues().Select(text => text.ToString())];
    }

    public static string[] SlotTexts(this DataViewSchema.Column column)
    {
        VBuffer<ReadOnlyMemory<char>> values = default;
        column.GetSlotNames(ref values);
        return [.. values.DenseValues().Select(text => text.ToString())];
    }

    public static ValueGetter<VBuffer<ReadOnlyMemory<char>>> TextsGetter(params string[] texts) =>
        (ref VBuffer<ReadOnlyMemory<char>> value) =>
            value = new VBuffer<ReadOnlyMemory<char>>(texts.Length, [.. texts.Select(text => text.AsMemory())]);
}
