using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>Readings of a column as a number: its own value, or where a key lies among all keys, from 0 to 1.</summary>
internal static class NumberReader
{
    internal static Func<double> Create(DataViewRow row, DataViewSchema.Column column)
    {
        if (column.Type is KeyDataViewType key)
        {
            Func<double> raw = UntypedGetters.Call<Func<double>>(Raw<int>, key.RawType, row, column);
            return () =>
            {
                // The middle of the key's share; what is no key is nowhere.
                double value = raw();
                return value > 0 && value <= key.Count ? (value - 0.5) / key.Count : double.NaN;
            };
        }

        return UntypedGetters.Call<Func<double>>(Raw<int>, column.Type.RawType, row, column);
    }

    private static Func<double> Raw<T>(DataViewRow row, DataViewSchema.Column column)
    {
        ValueGetter<T> getter = row.GetGetter<T>(column);
        T value = default;
        return () =>
        {
            getter(ref value);
            return Convert.ToDouble(value);
        };
    }
}
