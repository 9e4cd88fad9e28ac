using System.Text;

namespace RepVgg.Weights.Hdf5;

/// <summary>The type of the values of a dataset or attribute.</summary>
/// <param name="Class">Its class, one of the constants.</param>
/// <param name="Bits">The bits whose meaning depends on the class.</param>
/// <param name="Size">Bytes of a value.</param>
/// <param name="Properties">What describes the values further, which depends on the class.</param>
internal sealed record Hdf5Type(int Class, int Bits, int Size, byte[] Properties)
{
    private const int Integer = 0, Float = 1, String = 3, Opaque = 5, VariableLength = 9;
    private const int MaximumRank = 32;

    /// <summary>Whether the bytes of a value are in the order of big-endian machines.</summary>
    public bool IsBigEndian => Class is Integer or Float && (Bits & 1) != 0;

    /// <summary>Reads a datatype message.</summary>
    public static Hdf5Type Read(Hdf5Cursor cursor)
    {
        int start = cursor.Byte(), bits = cursor.Byte() | cursor.Byte() << 8 | cursor.Byte() << 16;
        uint size = cursor.UInt32();
        if (size is 0 or > int.MaxValue)
            throw new InvalidDataException($"a type in it has {size} bytes, so that it is damaged");
        return new Hdf5Type(start & 15, bits, (int)size, cursor.Bytes(cursor.Remaining));
    }

    /// <summary>Reads the dimensions of a dataspace message: none for a single value, and one of 0 for a null dataspace.</summary>
    public static long[] ReadShape(Hdf5Cursor cursor)
    {
        const int Null = 2;
        int version = cursor.Byte(), rank = cursor.Byte();
        cursor.Skip(1);
        if (version is not (1 or 2) || rank > MaximumRank)
            throw new InvalidDataException($"a dataspace in it has version {version} and {rank} dimensions; versions 1 and 2 and {MaximumRank} dimensions are supported");
        if (version == 2 && cursor.Byte() == Null)
            return [0];
        cursor.Skip(version == 1 ? 5 : 0);
        var shape = new long[rank];
        for (int axis = 0; axis < rank; axis++)
        {
            ulong size = cursor.UInt64();
            shape[axis] = size <= long.MaxValue ? (long)size : throw new InvalidDataException($"a dimension in it is {size}, so that it is damaged");
        }
        return shape;
    }

    /// <summary>The product of dimensions.</summary>
    public static long CountOf(long[] shape)
    {
        Int128 count = 1;
        foreach (long size in shape)
            count = Int128.Min(count, long.MaxValue) * size;
        return count <= long.MaxValue ? (long)count : throw new InvalidDataException("a dataset in it has too many values, so that it is damaged");
    }

    /// <summary>The type of numbers; null if the values are not floating-point numbers.</summary>
    /// <param name="isBrainFloat">Whether an attribute says that values of two bytes are bfloat16, for which HDF5 has no type.</param>
    public ScalarType? Scalar(bool isBrainFloat)
    {
        if (isBrainFloat && Size == 2)
            return ScalarType.BFloat16;
        if (Class != Float)
            return null;
        // Bit offset and precision, position and size of the exponent, position and size of the mantissa, exponent bias: IEEE formats only.
        var cursor = new Hdf5Cursor(Properties, 0);
        var layout = (cursor.UInt16(), cursor.UInt16(), cursor.Byte(), cursor.Byte(), cursor.Byte(), cursor.Byte(), cursor.UInt32());
        return (Size, layout) switch
        {
            (2, (0, 16, 10, 5, 0, 10, 15)) => ScalarType.Float16,
            (2, (0, 16, 7, 8, 0, 7, 127)) => ScalarType.BFloat16,
            (4, (0, 32, 23, 8, 0, 23, 127)) => ScalarType.Float32,
            (8, (0, 64, 52, 11, 0, 52, 1023)) => ScalarType.Float64,
            _ => null,
        };
    }

    /// <summary>Converts values to texts.</summary>
    /// <param name="file">The file, for strings of variable length.</param>
    /// <param name="values">The stored values.</param>
    /// <param name="count">Number of values.</param>
    /// <param name="name">Name of the attribute in messages.</param>
    public IReadOnlyList<string> ReadTexts(Hdf5File file, byte[] values, long count, string name)
    {
        if (count == 0)
            return [];
        bool isVariable = Class == VariableLength && (Bits & 15) == 1;
        if (Class != String && !isVariable)
            throw new InvalidDataException($"the attribute '{name}' holds values of {this}, not strings");
        if (count > values.Length / Size)
            throw new InvalidDataException($"the attribute '{name}' is damaged");
        var texts = new string[count];
        for (int i = 0; i < count; i++)
        {
            byte[] bytes = isVariable ? ReadHeapObject(file, new Hdf5Cursor(values, i * Size)) : values.AsSpan(i * Size, Size).ToArray();
            int end = bytes.AsSpan().IndexOf((byte)0);
            texts[i] = Encoding.UTF8.GetString(end < 0 ? bytes : bytes.AsSpan(0, end));
        }
        return texts;
    }

    /// <inheritdoc/>
    public override string ToString() => Class switch
    {
        Integer => $"{8 * Size}-bit integers",
        Float => $"{8 * Size}-bit floating-point numbers",
        String => "strings",
        Opaque => $"{Size} bytes without a type",
        VariableLength => "variable length",
        _ => $"type class {Class}",
    };

    /// <summary>Reads an object of a global heap, where strings of variable length are.</summary>
    private static byte[] ReadHeapObject(Hdf5File file, Hdf5Cursor reference)
    {
        uint length = reference.UInt32();
        ulong address = reference.UInt64();
        uint index = reference.UInt32();
        if (length == 0)
            return [];
        file.CountPart();
        var start = new Hdf5Cursor(file.Read(address, 16), 0);
        bool isHeap = start.Bytes(4).AsSpan().SequenceEqual("GCOL"u8);
        start.Skip(4);
        ulong size = start.UInt64();
        if (!isHeap || size < 16)
            throw new InvalidDataException("a string in it is damaged");
        var objects = new Hdf5Cursor(file.Read(address + 16, size - 16), 0);
        while (objects.Remaining >= 16)
        {
            int number = objects.UInt16();
            objects.Skip(6);
            ulong bytes = objects.UInt64();
            if (number == 0 || bytes > (ulong)objects.Remaining)
                break;
            byte[] content = objects.Bytes((int)bytes);
            if (number == index)
                return length <= bytes ? content[..(int)length] : throw new InvalidDataException("a string in it is damaged");
            objects.Skip(Math.Min(objects.Remaining, (8 - (int)(bytes % 8)) % 8));
        }
        throw new InvalidDataException("a string in it is missing, so that it is damaged");
    }
}
