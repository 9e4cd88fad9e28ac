using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>Readings of key columns of any integer type.</summary>
internal static class KeyReaders
{
    /// <summary>Reads a scalar key; 0 is missing.</summary>
    internal static Func<ulong> Scalar(DataViewRow row, DataViewSchema.Column column) =>
        UntypedGetters.Call<Func<ulong>>(TypedScalar<int>, column.Type.RawType, row, column);

    /// <summary>Reads a vector of keys.</summary>
    internal static Func<ulong[]> Vector(DataViewRow row, DataViewSchema.Column column) =>
        UntypedGetters.Call<Func<ulong[]>>(
            TypedVector<int>, ((VectorDataViewType)column.Type).ItemType.RawType, row, column);

    private static Func<ulong> TypedScalar<T>(DataViewRow row, DataViewSchema.Column column)
    {
        ValueGetter<T> getter = row.GetGetter<T>(column);
        T value = default;
        return () =>
        {
            getter(ref value);
            return Convert.ToUInt64(value);
        };
    }

    private static Func<ulong[]> TypedVector<T>(DataViewRow row, DataViewSchema.Column column)
    {
        ValueGetter<VBuffer<T>> getter = row.GetGetter<VBuffer<T>>(column);
        VBuffer<T> value = default;
        return () =>
        {
            getter(ref value);
            return [.. value.DenseValues().Select(item => Convert.ToUInt64(item))];
        };
    }
}

/// <summary>Missing values: NaN for floating point, nothing for text, the default for all else.</summary>
internal static class MissingValues
{
    internal static T Of<T>(DataViewType type) => (T)(object)(type.RawType switch
    {
        Type raw when raw == typeof(float) => float.NaN,
        Type raw when raw == typeof(double) => double.NaN,
        _ => default(T),
    });

    internal static bool IsMissing<T>(T value) => value switch
    {
        float number => float.IsNaN(number),
        double number => double.IsNaN(number),
        ReadOnlyMemory<char> text => text.IsEmpty,
        _ => false,
    };
}
