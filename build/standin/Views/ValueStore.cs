using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>Copies of a column's values, row by row.</summary>
internal abstract class ValueStore
{
    /// <summary>Whether values of the type can be copied: primitive ones and vectors.</summary>
    internal static bool CanHold(DataViewType type) => type is PrimitiveDataViewType or VectorDataViewType;

    internal static ValueStore Create(DataViewType type)
    {
        Type store = type is VectorDataViewType vector
            ? typeof(Vectors<>).MakeGenericType(vector.ItemType.RawType)
            : typeof(Scalars<>).MakeGenericType(type.RawType);
        return (ValueStore)Activator.CreateInstance(store);
    }

    /// <summary>An action that stores the value of the current row of <paramref name="row"/> at an index.</summary>
    internal abstract Action<int> CreateWriter(DataViewRow row, DataViewSchema.Column column);

    /// <summary>A getter of the value at the index that <paramref name="current"/> returns.</summary>
    internal abstract Delegate CreateGetter(Func<int> current);

    private sealed class Scalars<T> : ValueStore
    {
        private readonly List<T> _values = [];

        internal override Action<int> CreateWriter(DataViewRow row, DataViewSchema.Column column)
        {
            ValueGetter<T> getter = row.GetGetter<T>(column);
            return index =>
            {
                T value = default;
                getter(ref value);
                Put(_values, index, value);
            };
        }

        internal override Delegate CreateGetter(Func<int> current) =>
            (ValueGetter<T>)((ref T value) => value = _values[current()]);
    }

    private sealed class Vectors<T> : ValueStore
    {
        private readonly List<VBuffer<T>> _values = [];

        internal override Action<int> CreateWriter(DataViewRow row, DataViewSchema.Column column)
        {
            ValueGetter<VBuffer<T>> getter = row.GetGetter<VBuffer<T>>(column);
            VBuffer<T> buffer = default;
            return index =>
            {
                getter(ref buffer);
                VBuffer<T> copy = default;
                buffer.CopyTo(ref copy);
                Put(_values, index, copy);
            };
        }

        internal override Delegate CreateGetter(Func<int> current) =>
            (ValueGetter<VBuffer<T>>)((ref VBuffer<T> value) => _values[current()].CopyTo(ref value));
    }

    private static void Put<T>(List<T> values, int index, T value)
    {
        if (index == values.Count)
        {
            values.Add(value);
        }
        else
        {
            values[index] = value;
        }
    }
}
