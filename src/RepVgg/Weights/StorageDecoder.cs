using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights;

/// <summary>Converts little-endian values of any <see cref="ScalarType"/> to floats.</summary>
internal static class StorageDecoder
{
    private const int ChunkBytes = 1 << 16;

    /// <summary>Gets the size of one value in bytes.</summary>
    public static int SizeOf(ScalarType type) => type switch
    {
        ScalarType.Float64 or ScalarType.Int64 => 8,
        ScalarType.Float32 or ScalarType.Int32 => 4,
        ScalarType.Float16 or ScalarType.BFloat16 or ScalarType.Int16 => 2,
        _ => 1,
    };

    /// <summary>Reads consecutive values, in chunks if they must be converted.</summary>
    /// <exception cref="EndOfStreamException">The values are not all within the source.</exception>
    /// <exception cref="IOException">The values cannot be read, or the file was truncated after it was opened.</exception>
    /// <exception cref="OverflowException">An integer cannot be represented exactly as a 32-bit float.</exception>
    public static void Read(ByteSource source, long position, ScalarType type, Span<float> values)
    {
        if (type == ScalarType.Float32 && BitConverter.IsLittleEndian)
        {
            source.Read(position, MemoryMarshal.AsBytes(values));
            return;
        }
        int size = SizeOf(type);
        byte[] rented = ArrayPool<byte>.Shared.Rent((int)Math.Min((long)values.Length * size, ChunkBytes));
        while (!values.IsEmpty)
        {
            int count = Math.Min(values.Length, rented.Length / size);
            var chunk = rented.AsSpan(0, count * size);
            source.Read(position, chunk);
            Decode(chunk, type, values[..count]);
            values = values[count..];
            position += chunk.Length;
        }
        ArrayPool<byte>.Shared.Return(rented);
    }

    /// <summary>Converts values in memory.</summary>
    /// <param name="bytes">The stored values.</param>
    /// <param name="type">Type of the stored values.</param>
    /// <param name="values">Receives as many values as <paramref name="bytes"/> holds.</param>
    /// <exception cref="OverflowException">An integer cannot be represented exactly as a 32-bit float.</exception>
    public static void Decode(ReadOnlySpan<byte> bytes, ScalarType type, Span<float> values)
    {
        if (type == ScalarType.Float32 && BitConverter.IsLittleEndian)
        {
            bytes.CopyTo(MemoryMarshal.AsBytes(values));
            return;
        }
        if (type == ScalarType.Float16 && BitConverter.IsLittleEndian)
        {
            var halves = MemoryMarshal.Cast<byte, Half>(bytes);
            for (int i = 0; i < values.Length; i++)
                values[i] = (float)halves[i];
            return;
        }
        int size = SizeOf(type);
        for (int i = 0; i < values.Length; i++)
            values[i] = Decode(bytes.Slice(i * size, size), type);
    }

    private static float Decode(ReadOnlySpan<byte> bytes, ScalarType type) => type switch
    {
        ScalarType.Float32 => BinaryPrimitives.ReadSingleLittleEndian(bytes),
        ScalarType.Float16 => (float)BinaryPrimitives.ReadHalfLittleEndian(bytes),
        ScalarType.BFloat16 => BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadUInt16LittleEndian(bytes) << 16),
        ScalarType.Float64 => (float)BinaryPrimitives.ReadDoubleLittleEndian(bytes),
        ScalarType.Int64 => Exact(BinaryPrimitives.ReadInt64LittleEndian(bytes)),
        ScalarType.Int32 => Exact(BinaryPrimitives.ReadInt32LittleEndian(bytes)),
        ScalarType.Int16 => BinaryPrimitives.ReadInt16LittleEndian(bytes),
        ScalarType.Int8 => (sbyte)bytes[0],
        _ => bytes[0],
    };

    private static float Exact(long value)
    {
        float nearest = value;
        return (decimal)nearest == value ? nearest : throw new OverflowException($"{value} cannot be represented exactly as a 32-bit float");
    }
}
