using System.Globalization;
using System.Numerics;
using System.Reflection;
using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>
/// Conversions between item types, as far as ML.NET has them: signed integers into signed ones, unsigned into
/// unsigned, either into floating point; truth values into signed integers and floating point; all of these into text.
/// </summary>
internal static class TypeConversions
{
    private static readonly Type[] _signed = [typeof(sbyte), typeof(short), typeof(int), typeof(long)];
    private static readonly Type[] _unsigned = [typeof(byte), typeof(ushort), typeof(uint), typeof(ulong)];
    private static readonly Type[] _floating = [typeof(float), typeof(double)];

    private delegate TOut Conversion<TIn, TOut>(TIn value);

    internal static PrimitiveDataViewType TypeOf(DataKind kind) => kind switch
    {
        DataKind.SByte => NumberDataViewType.SByte,
        DataKind.Byte => NumberDataViewType.Byte,
        DataKind.Int16 => NumberDataViewType.Int16,
        DataKind.UInt16 => NumberDataViewType.UInt16,
        DataKind.Int32 => NumberDataViewType.Int32,
        DataKind.UInt32 => NumberDataViewType.UInt32,
        DataKind.Int64 => NumberDataViewType.Int64,
        DataKind.UInt64 => NumberDataViewType.UInt64,
        DataKind.Single => NumberDataViewType.Single,
        DataKind.Double => NumberDataViewType.Double,
        DataKind.String => TextDataViewType.Instance,
        _ => throw new NotSupportedException($"The stand-in's ConvertType does not convert into {kind}."),
    };

    internal static bool Exists(DataViewType from, PrimitiveDataViewType to)
    {
        if (from is not (NumberDataViewType or BooleanDataViewType))
        {
            throw new NotSupportedException($"The stand-in's ConvertType does not convert from {from}.");
        }

        return to is TextDataViewType || _floating.Contains(to.RawType)
            || (_signed.Contains(to.RawType) && (from is BooleanDataViewType || _signed.Contains(from.RawType)))
            || (_unsigned.Contains(to.RawType) && _unsigned.Contains(from.RawType));
    }

    internal static Delegate CreateGetter(DataViewRow row, DataViewSchema.Column column, PrimitiveDataViewType to)
    {
        Type from = PrimitiveTypes.ItemTypeOf(column.Type).RawType;
        Delegate convert =
            to is TextDataViewType ? UntypedGetters.Call<Delegate>(IntoText<int>, from)
            : from == typeof(bool) ? UntypedGetters.Call<Delegate>(FromBoolean<int>, to.RawType)
            : Generic(nameof(BetweenNumbers), from, to.RawType);
        return Generic(
            column.Type is VectorDataViewType ? nameof(Vector) : nameof(Scalar), from, to.RawType, row, column, convert);
    }

    private static Delegate Generic(string method, Type from, Type to, params object[] arguments) =>
        (Delegate)typeof(TypeConversions).GetMethod(method, BindingFlags.Static | BindingFlags.NonPublic)
            .MakeGenericMethod(from, to)
            .Invoke(null, BindingFlags.DoNotWrapExceptions, binder: null, arguments, culture: null);

    private static Delegate BetweenNumbers<TIn, TOut>()
        where TIn : INumberBase<TIn>
        where TOut : INumberBase<TOut> =>
        (Conversion<TIn, TOut>)(static value => TOut.CreateTruncating(value));

    private static Delegate FromBoolean<TOut>()
        where TOut : INumberBase<TOut> =>
        (Conversion<bool, TOut>)(static value => value ? TOut.One : TOut.Zero);

    private static Delegate IntoText<TIn>() => (Conversion<TIn, ReadOnlyMemory<char>>)(static value => (value switch
    {
        float number => number.ToString("G7", CultureInfo.InvariantCulture),
        double number => number.ToString("G17", CultureInfo.InvariantCulture),
        _ => Convert.ToString(value, CultureInfo.InvariantCulture),
    }).AsMemory());

    private static Delegate Scalar<TIn, TOut>(DataViewRow row, DataViewSchema.Column column, Delegate conversion)
    {
        ValueGetter<TIn> getter = row.GetGetter<TIn>(column);
        var convert = (Conversion<TIn, TOut>)conversion;
        TIn source = default;
        return (ValueGetter<TOut>)((ref TOut value) =>
        {
            getter(ref source);
            value = convert(source);
        });
    }

    private static Delegate Vector<TIn, TOut>(DataViewRow row, DataViewSchema.Column column, Delegate conversion)
    {
        ValueGetter<VBuffer<TIn>> getter = row.GetGetter<VBuffer<TIn>>(column);
        var convert = (Conversion<TIn, TOut>)conversion;
        VBuffer<TIn> source = default;
        VBuffer<TIn> dense = default;
        return (ValueGetter<VBuffer<TOut>>)((ref VBuffer<TOut> value) =>
        {
            getter(ref source);
            source.CopyToDense(ref dense);
            ReadOnlySpan<TIn> items = dense.GetValues();
            VBufferEditor<TOut> editor = VBufferEditor.Create(ref value, items.Length);
            for (int i = 0; i < items.Length; i++)
            {
                editor.Values[i] = convert(items[i]);
            }

            value = editor.Commit();
        });
    }
}
