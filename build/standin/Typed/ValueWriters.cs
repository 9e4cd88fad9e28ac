using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>Copies of column values into members of types such as string, arrays and buffers.</summary>
internal static class ValueWriters
{
    /// <summary>
    /// An action that stores a column's value of the current row in an object. Arrays of the right length are filled
    /// in place, so that an object that is used again needs no new ones.
    /// </summary>
    internal static Action<TRow> Create<TRow, T>(
        DataViewRow row, DataViewSchema.Column column, Func<TRow, T> read, Action<TRow, T> write)
    {
        if (write is Action<TRow, string> text)
        {
            ValueGetter<ReadOnlyMemory<char>> getter = row.GetGetter<ReadOnlyMemory<char>>(column);
            ReadOnlyMemory<char> value = default;
            return target =>
            {
                getter(ref value);
                text(target, value.ToString());
            };
        }

        if (write is Action<TRow, string[]> texts)
        {
            return Array(
                row, column, (Func<TRow, string[]>)(object)read, texts, static (ReadOnlyMemory<char> item) => item.ToString());
        }

        if (typeof(T).IsArray)
        {
            return new ItemWriter<TRow>(row, column, read, write).For(typeof(T).GetElementType());
        }

        if (column.Type is VectorDataViewType)
        {
            return new BufferWriter<TRow>(row, column, read, write).For(typeof(T).GetGenericArguments()[0]);
        }

        return Scalar(row, column, write);
    }

    private static Action<TRow> Scalar<TRow, T>(DataViewRow row, DataViewSchema.Column column, Action<TRow, T> write)
    {
        ValueGetter<T> getter = row.GetGetter<T>(column);
        T value = default;
        return target =>
        {
            getter(ref value);
            write(target, value);
        };
    }

    private static Action<TRow> Array<TRow, TSource, T>(
        DataViewRow row,
        DataViewSchema.Column column,
        Func<TRow, T[]> read,
        Action<TRow, T[]> write,
        Func<TSource, T> convert)
    {
        ValueGetter<VBuffer<TSource>> getter = row.GetGetter<VBuffer<TSource>>(column);
        VBuffer<TSource> value = default;
        return target =>
        {
            getter(ref value);
            T[] array = read(target);
            if (array?.Length != value.Length)
            {
                array = new T[value.Length];
            }

            if (value is VBuffer<T> same)
            {
                same.CopyTo(array);
            }
            else
            {
                foreach (KeyValuePair<int, TSource> item in value.Items(all: true))
                {
                    array[item.Key] = convert(item.Value);
                }
            }

            write(target, array);
        };
    }

    private sealed class ItemWriter<TRow>(
        DataViewRow row, DataViewSchema.Column column, object read, object write)
    {
        internal Action<TRow> For(Type itemType) => UntypedGetters.Call<Action<TRow>>(Create<int>, itemType);

        private Action<TRow> Create<T>() =>
            Array(row, column, (Func<TRow, T[]>)read, (Action<TRow, T[]>)write, static (T item) => item);
    }

    private sealed class BufferWriter<TRow>(DataViewRow row, DataViewSchema.Column column, object read, object write)
    {
        internal Action<TRow> For(Type itemType) => UntypedGetters.Call<Action<TRow>>(Create<int>, itemType);

        private Action<TRow> Create<T>()
        {
            ValueGetter<VBuffer<T>> getter = row.GetGetter<VBuffer<T>>(column);
            var peek = (Func<TRow, VBuffer<T>>)read;
            var store = (Action<TRow, VBuffer<T>>)write;
            return target =>
            {
                VBuffer<T> value = peek(target);
                getter(ref value);
                store(target, value);
            };
        }
    }
}
