using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>The values behind the keys of a label column: what its classes are called.</summary>
internal sealed class ClassNames
{
    private readonly Action<BinaryWriter> _write;

    private ClassNames(VectorDataViewType type, Delegate getter, Action<BinaryWriter> write)
    {
        Type = type;
        Getter = getter;
        _write = write;
    }

    /// <summary>The type of the values together; null where the classes have no names.</summary>
    internal VectorDataViewType Type { get; }

    /// <summary>A getter of the values together.</summary>
    internal Delegate Getter { get; }

    private static ClassNames None { get; } = new(null, null, _ => { });

    /// <summary>The names that a label column's annotations give.</summary>
    internal static ClassNames Of(DataViewSchema.Column label)
    {
        if (label.Annotations.Schema.GetColumnOrNull(MulticlassScoreColumns.KeyValues) is not DataViewSchema.Column column
            || column.Type is not VectorDataViewType { IsKnownSize: true } type
            || (type.ItemType is not (NumberDataViewType or TextDataViewType or BooleanDataViewType)))
        {
            return None;
        }

        return UntypedGetters.Call<ClassNames>(Fetch<int>, type.ItemType.RawType, label.Annotations, type);
    }

    internal void Save(ModelSaveContext context)
    {
        context.Writer.Write(Type?.ItemType.RawType.FullName ?? string.Empty);
        context.Writer.Write(Type?.Size ?? 0);
        _write(context.Writer);
    }

    internal static ClassNames Load(ModelLoadContext context)
    {
        string name = context.Reader.ReadString();
        int count = context.Reader.ReadInt32();
        if (name.Length == 0)
        {
            return None;
        }

        Type raw = name == typeof(ReadOnlyMemory<char>).FullName ? typeof(ReadOnlyMemory<char>) : System.Type.GetType(name);
        PrimitiveDataViewType item = raw is null ? null : PrimitiveTypes.FromRaw(raw);
        return item is not null && count > 0
            ? UntypedGetters.Call<ClassNames>(Read<int>, raw, context.Reader, new VectorDataViewType(item, count))
            : throw new FormatException($"Corrupt model file: {count} class names of type '{name}'.");
    }

    private static ClassNames Fetch<T>(DataViewSchema.Annotations annotations, VectorDataViewType type)
    {
        VBuffer<T> values = default;
        annotations.GetValue(MulticlassScoreColumns.KeyValues, ref values);
        return Make<T>(type, [.. values.DenseValues()]);
    }

    private static ClassNames Read<T>(BinaryReader reader, VectorDataViewType type)
    {
        T[] values = new T[type.Size];
        if (values is ReadOnlyMemory<char>[] texts)
        {
            foreach (ref ReadOnlyMemory<char> text in texts.AsSpan())
            {
                text = reader.ReadString().AsMemory();
            }
        }
        else
        {
            reader.BaseStream.ReadExactly(Bytes(values));
        }

        return Make(type, values);
    }

    private static ClassNames Make<T>(VectorDataViewType type, T[] values)
    {
        ValueGetter<VBuffer<T>> getter = (ref VBuffer<T> destination) =>
            new VBuffer<T>(values.Length, values).CopyTo(ref destination);
        return new ClassNames(type, getter, Write);

        void Write(BinaryWriter writer)
        {
            if (values is not ReadOnlyMemory<char>[] texts)
            {
                writer.Write(Bytes(values));
                return;
            }

            foreach (ReadOnlyMemory<char> text in texts)
            {
                writer.Write(text.ToString());
            }
        }
    }

    /// <summary>The memory of numbers.</summary>
    private static Span<byte> Bytes<T>(T[] values) =>
        MemoryMarshal.CreateSpan(
            ref Unsafe.As<T, byte>(ref MemoryMarshal.GetArrayDataReference(values)), values.Length * Unsafe.SizeOf<T>());
}
