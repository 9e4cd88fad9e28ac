using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>Column types and values in binary form. Types outside of ML.NET's basic ones cannot be written.</summary>
internal static class ValueSerializer
{
    private const byte KeyCode = 100;
    private const byte VectorCode = 101;

    private static readonly Dictionary<Type, (Delegate Write, Delegate Read)> _codecs = new()
    {
        [typeof(sbyte)] = Codec<sbyte>((w, x) => w.Write(x), r => r.ReadSByte()),
        [typeof(byte)] = Codec<byte>((w, x) => w.Write(x), r => r.ReadByte()),
        [typeof(short)] = Codec<short>((w, x) => w.Write(x), r => r.ReadInt16()),
        [typeof(ushort)] = Codec<ushort>((w, x) => w.Write(x), r => r.ReadUInt16()),
        [typeof(int)] = Codec<int>((w, x) => w.Write(x), r => r.ReadInt32()),
        [typeof(uint)] = Codec<uint>((w, x) => w.Write(x), r => r.ReadUInt32()),
        [typeof(long)] = Codec<long>((w, x) => w.Write(x), r => r.ReadInt64()),
        [typeof(ulong)] = Codec<ulong>((w, x) => w.Write(x), r => r.ReadUInt64()),
        [typeof(float)] = Codec<float>((w, x) => w.Write(x), r => r.ReadSingle()),
        [typeof(double)] = Codec<double>((w, x) => w.Write(x), r => r.ReadDouble()),
        [typeof(ReadOnlyMemory<char>)] = Codec<ReadOnlyMemory<char>>((w, x) => w.Write(x.ToString()), r => r.ReadString().AsMemory()),
        [typeof(bool)] = Codec<bool>((w, x) => w.Write(x), r => r.ReadBoolean()),
        [typeof(TimeSpan)] = Codec<TimeSpan>((w, x) => w.Write(x.Ticks), r => new TimeSpan(r.ReadInt64())),
        [typeof(DateTime)] = Codec<DateTime>((w, x) => w.Write(x.ToBinary()), r => DateTime.FromBinary(r.ReadInt64())),
        [typeof(DateTimeOffset)] = Codec<DateTimeOffset>(WriteOffsetTime, ReadOffsetTime),
        [typeof(DataViewRowId)] = Codec<DataViewRowId>(WriteId, r => new DataViewRowId(r.ReadUInt64(), r.ReadUInt64())),
    };

    /// <summary>Whether columns of the type can be written.</summary>
    internal static bool CanWrite(DataViewType type) => PrimitiveTypes.ItemTypeOf(type) switch
    {
        KeyDataViewType => true,
        DataViewType item => Array.IndexOf(PrimitiveTypes.All, item) >= 0,
    };

    internal static void WriteType(BinaryWriter writer, DataViewType type)
    {
        switch (type)
        {
            case VectorDataViewType vector:
                writer.Write(VectorCode);
                WriteType(writer, vector.ItemType);
                writer.Write(vector.Dimensions.Length);
                foreach (int dimension in vector.Dimensions)
                {
                    writer.Write(dimension);
                }

                break;
            case KeyDataViewType key:
                writer.Write(KeyCode);
                WriteType(writer, PrimitiveTypes.FromRaw(key.RawType));
                writer.Write(key.Count);
                break;
            default:
                int code = Array.IndexOf(PrimitiveTypes.All, type);
                writer.Write(code >= 0 ? (byte)code : throw new NotSupportedException($"Type {type} cannot be saved."));
                break;
        }
    }

    internal static DataViewType ReadType(BinaryReader reader)
    {
        byte code = reader.ReadByte();
        switch (code)
        {
            case VectorCode:
                var item = (PrimitiveDataViewType)ReadType(reader);
                var dimensions = new int[reader.ReadInt32()];
                for (int i = 0; i < dimensions.Length; i++)
                {
                    dimensions[i] = reader.ReadInt32();
                }

                return new VectorDataViewType(item, dimensions);
            case KeyCode:
                Type raw = ReadType(reader).RawType;
                return new KeyDataViewType(raw, reader.ReadUInt64());
            default:
                return code < PrimitiveTypes.All.Length
                    ? PrimitiveTypes.All[code]
                    : throw new FormatException($"Corrupt data: {code} is no column type.");
        }
    }

    internal static Action<BinaryWriter, T> WriterOf<T>() => (Action<BinaryWriter, T>)_codecs[typeof(T)].Write;

    internal static Func<BinaryReader, T> ReaderOf<T>() => (Func<BinaryReader, T>)_codecs[typeof(T)].Read;

    /// <summary>An action that writes the value of what <paramref name="getter"/> gets.</summary>
    internal static Action<BinaryWriter> CreateWriter(Delegate getter, DataViewType type) =>
        type is VectorDataViewType vector
            ? UntypedGetters.Call<Action<BinaryWriter>>(VectorWriter<int>, vector.ItemType.RawType, getter)
            : UntypedGetters.Call<Action<BinaryWriter>>(ScalarWriter<int>, type.RawType, getter);

    /// <summary>
    /// Reads values that <see cref="CreateWriter"/> wrote: the action takes the next one from the reader, the getter
    /// gets the one that was taken last.
    /// </summary>
    internal static (Action<BinaryReader> Next, Delegate Getter) CreateReader(DataViewType type) =>
        type is VectorDataViewType vector
            ? UntypedGetters.Call<(Action<BinaryReader>, Delegate)>(VectorReader<int>, vector.ItemType.RawType)
            : UntypedGetters.Call<(Action<BinaryReader>, Delegate)>(ScalarReader<int>, type.RawType);

    private static Action<BinaryWriter> ScalarWriter<T>(Delegate getter)
    {
        var get = (ValueGetter<T>)getter;
        Action<BinaryWriter, T> write = WriterOf<T>();
        T value = default;
        return writer =>
        {
            get(ref value);
            write(writer, value);
        };
    }

    private static Action<BinaryWriter> VectorWriter<T>(Delegate getter)
    {
        var get = (ValueGetter<VBuffer<T>>)getter;
        Action<BinaryWriter, T> write = WriterOf<T>();
        VBuffer<T> value = default;
        return writer =>
        {
            get(ref value);
            ReadOnlySpan<T> items = value.GetValues();
            writer.Write(value.Length);
            writer.Write(items.Length);
            foreach (T item in items)
            {
                write(writer, item);
            }

            foreach (int index in value.GetIndices())
            {
                writer.Write(index);
            }
        };
    }

    private static (Action<BinaryReader> Next, Delegate Getter) ScalarReader<T>()
    {
        Func<BinaryReader, T> read = ReaderOf<T>();
        T current = default;
        return (reader => current = read(reader), (ValueGetter<T>)((ref T value) => value = current));
    }

    private static (Action<BinaryReader> Next, Delegate Getter) VectorReader<T>()
    {
        Func<BinaryReader, T> read = ReaderOf<T>();
        VBuffer<T> current = default;
        void Next(BinaryReader reader)
        {
            int length = reader.ReadInt32();
            int count = reader.ReadInt32();
            if (length < 0 || count < 0 || count > length)
            {
                throw new FormatException($"Corrupt data: a vector of length {length} with {count} items.");
            }

            VBufferEditor<T> editor = VBufferEditor.Create(ref current, length, count);
            for (int i = 0; i < count; i++)
            {
                editor.Values[i] = read(reader);
            }

            if (count < length)
            {
                for (int i = 0; i < count; i++)
                {
                    editor.Indices[i] = reader.ReadInt32();
                }
            }

            current = editor.Commit();
        }

        return (Next, (ValueGetter<VBuffer<T>>)((ref VBuffer<T> value) => current.CopyTo(ref value)));
    }

    private static (Delegate Write, Delegate Read) Codec<T>(Action<BinaryWriter, T> write, Func<BinaryReader, T> read) =>
        (write, read);

    private static void WriteOffsetTime(BinaryWriter writer, DateTimeOffset value)
    {
        writer.Write(value.Ticks);
        writer.Write(value.Offset.Ticks);
    }

    private static DateTimeOffset ReadOffsetTime(BinaryReader reader)
    {
        long ticks = reader.ReadInt64();
        return new DateTimeOffset(ticks, new TimeSpan(reader.ReadInt64()));
    }

    private static void WriteId(BinaryWriter writer, DataViewRowId id)
    {
        writer.Write(id.Low);
        writer.Write(id.High);
    }
}
