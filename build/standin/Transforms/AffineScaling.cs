using System.Numerics;
using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>For each slot of a column: what is subtracted, then what is multiplied by.</summary>
internal sealed class AffineScaling
{
    private readonly double[] _offsets;
    private readonly double[] _scales;

    private AffineScaling(DataViewType inputType, double[] offsets, double[] scales)
    {
        InputType = inputType;
        _offsets = offsets;
        _scales = scales;
    }

    internal DataViewType InputType { get; }

    /// <summary>The type of a column's numbers; an error where they are neither Single nor Double.</summary>
    internal static Type NumberTypeOf(DataViewSchema.Column column)
    {
        DataViewType item = PrimitiveTypes.ItemTypeOf(column.Type);
        bool fits = item == NumberDataViewType.Single || item == NumberDataViewType.Double;
        Check.Param(
            fits && column.Type is not VectorDataViewType { IsKnownSize: false },
            "srcType",
            $"Wrong column type for input column. Expected: Single, Double, Vector of Single or Vector of Double. Got: {column.Type}.");
        return item.RawType;
    }

    /// <summary>
    /// Scales the smallest value to 0 and the largest to 1, or, where zero is to stay zero, the largest magnitude to 1.
    /// A slot of equal values becomes 0.
    /// </summary>
    internal static AffineScaling Learn<T>(
        DataViewRowCursor cursor, DataViewSchema.Column column, long maximum, bool fixZero)
        where T : struct, IFloatingPointIeee754<T>
    {
        Func<T[]> read = Reader<T>(cursor, column);
        int size = column.Type is VectorDataViewType vector ? vector.Size : 1;
        var low = new T[size];
        var high = new T[size];
        Array.Fill(low, T.PositiveInfinity);
        Array.Fill(high, T.NegativeInfinity);
        for (long row = 0; row < maximum && cursor.MoveNext(); row++)
        {
            T[] values = read();
            for (int i = 0; i < size; i++)
            {
                low[i] = values[i] < low[i] ? values[i] : low[i];
                high[i] = values[i] > high[i] ? values[i] : high[i];
            }
        }

        var offsets = new double[size];
        var scales = new double[size];
        for (int i = 0; i < size; i++)
        {
            if (high[i] > low[i])
            {
                T scale = T.One / (fixZero ? T.Max(T.Abs(high[i]), T.Abs(low[i])) : high[i] - low[i]);
                scales[i] = double.CreateTruncating(scale);
                offsets[i] = fixZero || scale == T.Zero ? 0 : double.CreateTruncating(low[i]);
            }
        }

        return new AffineScaling(column.Type, offsets, scales);
    }

    internal static AffineScaling Read(BinaryReader reader)
    {
        DataViewType type = ValueSerializer.ReadType(reader);
        int size = type is VectorDataViewType vector ? vector.Size : 1;
        var offsets = new double[size];
        var scales = new double[size];
        for (int i = 0; i < size; i++)
        {
            offsets[i] = reader.ReadDouble();
            scales[i] = reader.ReadDouble();
        }

        return new AffineScaling(type, offsets, scales);
    }

    internal void Write(BinaryWriter writer)
    {
        ValueSerializer.WriteType(writer, InputType);
        for (int i = 0; i < _offsets.Length; i++)
        {
            writer.Write(_offsets[i]);
            writer.Write(_scales[i]);
        }
    }

    /// <summary>Whether a column of the type can be scaled: the same items, as many of them.</summary>
    internal bool Fits(DataViewType type) =>
        PrimitiveTypes.ItemTypeOf(type).Equals(PrimitiveTypes.ItemTypeOf(InputType))
        && (type as VectorDataViewType)?.Size == (InputType as VectorDataViewType)?.Size;

    internal Delegate CreateGetter<T>(DataViewRow row, DataViewSchema.Column column)
        where T : struct, IFloatingPointIeee754<T>
    {
        Func<T[]> read = Reader<T>(row, column);
        T[] offsets = Array.ConvertAll(_offsets, T.CreateTruncating);
        T[] scales = Array.ConvertAll(_scales, T.CreateTruncating);
        if (column.Type is not VectorDataViewType)
        {
            return (ValueGetter<T>)((ref T value) => value = (read()[0] - offsets[0]) * scales[0]);
        }

        return (ValueGetter<VBuffer<T>>)((ref VBuffer<T> value) =>
        {
            T[] values = read();
            VBufferEditor<T> editor = VBufferEditor.Create(ref value, values.Length);
            for (int i = 0; i < values.Length; i++)
            {
                editor.Values[i] = (values[i] - offsets[i]) * scales[i];
            }

            value = editor.Commit();
        });
    }

    private static Func<T[]> Reader<T>(DataViewRow row, DataViewSchema.Column column)
    {
        if (column.Type is not VectorDataViewType vector)
        {
            ValueGetter<T> getter = row.GetGetter<T>(column);
            var one = new T[1];
            return () =>
            {
                getter(ref one[0]);
                return one;
            };
        }

        ValueGetter<VBuffer<T>> getVector = row.GetGetter<VBuffer<T>>(column);
        VBuffer<T> buffer = default;
        var values = new T[vector.Size];
        return () =>
        {
            getVector(ref buffer);
            buffer.CopyTo(values);
            return values;
        };
    }
}
