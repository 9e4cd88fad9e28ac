using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using RepVgg.Runtime.Files;
using RepVgg.Weights;

namespace RepVgg.Samples.Weights;

/// <summary>Reads and writes arrays in NumPy's .npy format, in row-major order.</summary>
internal static partial class NumpyFile
{
    private const int Alignment = 64;

    private static readonly byte[] _magic = [0x93, .. "NUMPY"u8];

    /// <summary>Reads an array of float32 or uint8.</summary>
    /// <exception cref="InvalidDataException">The file is not an array, is truncated, or has another type or order.</exception>
    public static TensorData Read(string path)
    {
        var (type, shape, values) = ReadContent(path, "<f4", "|u1");
        return new TensorData(shape, type == "<f4" ? MemoryMarshal.Cast<byte, float>(values.Span).ToArray() : [.. values.ToArray().Select(value => (float)value)]);
    }

    /// <summary>Reads an array of int64.</summary>
    /// <exception cref="InvalidDataException">The file is not an array, is truncated, or has another type or order.</exception>
    public static (int[] Shape, long[] Values) ReadInt64(string path)
    {
        var (_, shape, values) = ReadContent(path, "<i8");
        return (shape, MemoryMarshal.Cast<byte, long>(values.Span).ToArray());
    }

    /// <summary>Writes an array of float32.</summary>
    public static void Write(string path, TensorData array) => AtomicFile.Write(path, stream =>
    {
        string header = $"{{'descr': '<f4', 'fortran_order': False, 'shape': ({string.Join(", ", array.Shape)},), }}";
        int length = (10 + header.Length + 1 + Alignment - 1) / Alignment * Alignment - 10;
        Span<byte> prefix = [.. _magic, 1, 0, (byte)length, (byte)(length >> 8)];
        stream.Write(prefix);
        stream.Write(Encoding.Latin1.GetBytes(header.PadRight(length - 1) + "\n"));
        stream.Write(MemoryMarshal.AsBytes(array.Values.AsSpan()));
    });

    /// <summary>Reads a file whose values have one of the given types. The types are specified by their names in the header, such as '&lt;f4'.</summary>
    private static (string Type, int[] Shape, ReadOnlyMemory<byte> Values) ReadContent(string path, params string[] types)
    {
        byte[] file = Content(path);
        if (file.Length < 12 || !file.AsSpan(0, 6).SequenceEqual(_magic))
            throw new InvalidDataException($"'{path}' is not a NumPy array file (.npy).");
        bool isLong = file[6] > 1;
        long start = (isLong ? 12 : 10) + (isLong ? BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(8)) : BinaryPrimitives.ReadUInt16LittleEndian(file.AsSpan(8)));
        string header = start <= file.Length ? Encoding.Latin1.GetString(file, 10, (int)start - 10) : "";
        var shape = Shape().Match(header);
        string type = Type().Match(header).Groups[1].Value;
        if (!shape.Success || !types.Contains(type) || header.Contains("'fortran_order': True", StringComparison.Ordinal))
            throw new InvalidDataException($"'{path}' must hold {string.Join(" or ", types.Select(NameOf))} values in row-major order: numpy.save(path, numpy.ascontiguousarray(array, numpy.{NameOf(types[0])})).");
        int[] sizes = [.. shape.Groups[1].Value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(size => int.Parse(size, CultureInfo.InvariantCulture))];
        var content = file.AsMemory((int)start);
        long count = sizes.Aggregate(1L, (product, size) => checked(product * size));
        if (content.Length != count * (type[^1] - '0'))
            throw new InvalidDataException($"'{path}' is damaged: {content.Length} bytes do not make an array of ({string.Join(", ", sizes)}).");
        return (type, sizes, content);
    }

    private static byte[] Content(string path)
    {
        using var stream = InputFile.Open(path);
        byte[] content = new byte[stream.Length];
        stream.ReadExactly(content);
        return content;
    }

    private static string NameOf(string type) => type switch
    {
        "<f4" => "float32",
        "|u1" => "uint8",
        _ => "int64",
    };

    [GeneratedRegex(@"'descr': '([^']*)'")]
    private static partial Regex Type();

    [GeneratedRegex(@"'shape': \(([\d, ]*)\)")]
    private static partial Regex Shape();
}
