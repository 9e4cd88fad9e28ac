using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>Getters of column values over values of .NET types such as string, arrays and buffers.</summary>
internal static class ValueReaders
{
    /// <summary>A getter of the raw type of <paramref name="type"/> over what <paramref name="read"/> returns.</summary>
    /// <param name="keysFromZero">Whether keys count from 0, as they do in users' classes, and not from 1.</param>
    internal static Delegate Create<T>(Func<T> read, DataViewType type, bool keysFromZero)
    {
        if (read is Func<string> text)
        {
            return (ValueGetter<ReadOnlyMemory<char>>)((ref ReadOnlyMemory<char> value) => value = text().AsMemory());
        }

        if (read is Func<string[]> texts)
        {
            return Texts(texts);
        }

        if (typeof(T).IsArray)
        {
            return UntypedGetters.Call<Delegate>(Array<int>, typeof(T).GetElementType(), read);
        }

        if (type is VectorDataViewType vector)
        {
            return UntypedGetters.Call<Delegate>(Buffer<int>, vector.ItemType.RawType, read);
        }

        if (keysFromZero && type is KeyDataViewType key)
        {
            return Key(read, key);
        }

        return (ValueGetter<T>)((ref T value) => value = read());
    }

    private static Delegate Texts(Func<string[]> read) =>
        (ValueGetter<VBuffer<ReadOnlyMemory<char>>>)((ref VBuffer<ReadOnlyMemory<char>> value) =>
        {
            string[] source = read() ?? [];
            VBufferEditor<ReadOnlyMemory<char>> editor = VBufferEditor.Create(ref value, source.Length);
            for (int i = 0; i < source.Length; i++)
            {
                editor.Values[i] = source[i].AsMemory();
            }

            value = editor.Commit();
        });

    private static Delegate Array<T>(Func<T[]> read) =>
        (ValueGetter<VBuffer<T>>)((ref VBuffer<T> value) =>
        {
            ReadOnlySpan<T> source = read();
            VBufferEditor<T> editor = VBufferEditor.Create(ref value, source.Length);
            source.CopyTo(editor.Values);
            value = editor.Commit();
        });

    private static Delegate Buffer<T>(Func<VBuffer<T>> read) =>
        (ValueGetter<VBuffer<T>>)((ref VBuffer<T> value) => read().CopyTo(ref value));

    private static Delegate Key<T>(Func<T> read, KeyDataViewType type)
    {
        if (typeof(T) == typeof(ushort))
        {
            throw new InvalidOperationException("Members of type UInt16 cannot be keys.");
        }

        return (ValueGetter<T>)((ref T value) =>
        {
            ulong key = Convert.ToUInt64(read());
            value = (T)Convert.ChangeType(key < type.Count ? key + 1 : 0, typeof(T));
        });
    }
}

/// <summary>Getters of annotations' values.</summary>
internal static class AnnotationGetters
{
    /// <summary>The getter of an annotation of type <paramref name="type"/> with the given value.</summary>
    internal static Delegate Of<T>(T value, DataViewType type)
    {
        Type itemType = ColumnTypes.ItemTypeOf(typeof(T), out bool isVector);
        if (isVector != type is VectorDataViewType)
        {
            throw new InvalidOperationException(
                $"Value inputted is supposed to be {(isVector ? "vector" : "scalar")}, but type of Annotationinfo is {(isVector ? "scalar" : "vector")}");
        }

        Type wanted = PrimitiveTypes.ItemTypeOf(type).RawType;
        if (itemType != wanted)
        {
            throw new InvalidOperationException(
                $"Value inputted is supposed to have Type {itemType}, but type of Annotationinfo has {wanted}");
        }

        return ValueReaders.Create(() => value, type, keysFromZero: false);
    }

    /// <summary>The getter of one of a column's annotations.</summary>
    internal static Delegate Untyped(DataViewSchema.Annotations annotations, DataViewSchema.Column kind) =>
        UntypedGetters.Call<Delegate>(Typed<int>, kind.Type.RawType, annotations, kind);

    private static Delegate Typed<T>(DataViewSchema.Annotations annotations, DataViewSchema.Column kind) =>
        annotations.GetGetter<T>(kind);
}
