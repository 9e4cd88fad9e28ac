using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using RepVgg.Formats;

namespace RepVgg.Samples.Weights;

/// <summary>Arrays as NumPy keeps them in .npy files: bytes or 32-bit floats in row-major order.</summary>
internal static partial class NumpyFile
{
    private const int Alignment = 64;

    private static readonly byte[] s_magic = [0x93, .. "NUMPY"u8];

    /// <summary>Reads an array.</summary>
    /// <exception cref="InvalidDataException">It is none, is cut off, or holds another type or order.</exception>
    public static TensorData Read(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        if (file.Length < 12 || !file.AsSpan(0, 6).SequenceEqual(s_magic))
            throw new InvalidDataException($"'{path}' is not a NumPy array file (.npy).");
        bool isLong = file[6] > 1;
        long start = (isLong ? 12 : 10) + (isLong ? BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(8)) : BinaryPrimitives.ReadUInt16LittleEndian(file.AsSpan(8)));
        string header = start <= file.Length ? Encoding.Latin1.GetString(file, 10, (int)start - 10) : "";
        var shape = Shape().Match(header);
        bool single = header.Contains("'<f4'", StringComparison.Ordinal), bytes = header.Contains("'|u1'", StringComparison.Ordinal);
        if (!shape.Success || single == bytes || header.Contains("'fortran_order': True", StringComparison.Ordinal))
            throw new InvalidDataException($"'{path}' must hold float32 or uint8 values in row-major order: numpy.save(path, numpy.ascontiguousarray(images, numpy.float32)).");
        int[] sizes = [.. shape.Groups[1].Value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(size => int.Parse(size, CultureInfo.InvariantCulture))];
        var content = file.AsSpan((int)start);
        long count = sizes.Aggregate(1L, (product, size) => checked(product * size));
        if (content.Length != count * (single ? sizeof(float) : 1))
            throw new InvalidDataException($"'{path}' is damaged: {content.Length} bytes do not make an array of ({string.Join(", ", sizes)}).");
        return new TensorData(sizes, single ? MemoryMarshal.Cast<byte, float>(content).ToArray() : [.. content.ToArray().Select(value => (float)value)]);
    }

    /// <summary>Writes an array of float32.</summary>
    public static void Write(string path, TensorData array) => AtomicFile.Write(path, stream =>
    {
        string header = $"{{'descr': '<f4', 'fortran_order': False, 'shape': ({string.Join(", ", array.Shape)},), }}";
        int length = (10 + header.Length + 1 + Alignment - 1) / Alignment * Alignment - 10;
        Span<byte> prefix = [.. s_magic, 1, 0, (byte)length, (byte)(length >> 8)];
        stream.Write(prefix);
        stream.Write(Encoding.Latin1.GetBytes(header.PadRight(length - 1) + "\n"));
        stream.Write(MemoryMarshal.AsBytes(array.Values.AsSpan()));
    });

    [GeneratedRegex(@"'shape': \(([\d, ]*)\)")]
    private static partial Regex Shape();
}
