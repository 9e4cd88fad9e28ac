using Microsoft.ML.Standin;

namespace Microsoft.ML.Data;

/// <summary>The values of one column, as a sequence.</summary>
public static class ColumnCursorExtensions
{
    public static IEnumerable<T> GetColumn<T>(this IDataView data, string columnName) =>
        data.GetColumn<T>(data.Schema[columnName]);

    public static IEnumerable<T> GetColumn<T>(this IDataView data, DataViewSchema.Column column)
    {
        Check.NotNull(data, nameof(data));
        Check.NotEmpty(column.Name, nameof(column));
        DataViewSchema.Column own = data.Schema[column.Index];
        Check.Param(
            own.Name == column.Name && own.Type == column.Type,
            nameof(column),
            $"column with name {column.Name}, type {column.Type}, and index {column.Index} cannot be found in data");
        if (column.Type.RawType == typeof(T))
        {
            return Values<T, T>(data, column, static value => value);
        }

        if (typeof(T) == typeof(string) && column.Type is TextDataViewType)
        {
            return (IEnumerable<T>)Values<ReadOnlyMemory<char>, string>(data, column, static text => text.ToString());
        }

        Check.Param(
            !typeof(T).IsArray || column.Type is VectorDataViewType,
            nameof(column),
            $"Cannot load vector type, {column.Type}, specified in column to the user-defined type, {typeof(T)}.");
        if (typeof(T).IsArray && column.Type is VectorDataViewType vector)
        {
            if (typeof(T).GetElementType() == vector.ItemType.RawType)
            {
                return UntypedGetters.Call<IEnumerable<T>>(Arrays<int>, vector.ItemType.RawType, data, column);
            }

            if (typeof(T) == typeof(string[]) && vector.ItemType is TextDataViewType)
            {
                return (IEnumerable<T>)Values<VBuffer<ReadOnlyMemory<char>>, string[]>(
                    data, column, static texts => [.. texts.DenseValues().Select(text => text.ToString())]);
            }
        }

        throw new ArgumentOutOfRangeException(
            nameof(column),
            $"Cannot map column (name: {column.Name}, type: {column.Type}) in data to the user-defined type, {typeof(T)}.");
    }

    private static IEnumerable<T[]> Arrays<T>(IDataView data, DataViewSchema.Column column) =>
        Values<VBuffer<T>, T[]>(data, column, static values =>
        {
            var array = new T[values.Length];
            values.CopyTo(array);
            return array;
        });

    private static IEnumerable<TOut> Values<TIn, TOut>(
        IDataView data, DataViewSchema.Column column, Func<TIn, TOut> convert)
    {
        using DataViewRowCursor cursor = data.GetRowCursor([column]);
        ValueGetter<TIn> getter = cursor.GetGetter<TIn>(column);
        TIn value = default;
        while (cursor.MoveNext())
        {
            getter(ref value);
            yield return convert(value);
        }
    }
}
