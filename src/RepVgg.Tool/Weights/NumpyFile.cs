using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using RepVgg.Runtime.Files;
using RepVgg.Weights;

namespace RepVgg.Tool.Weights;

/// <summary>Reads and writes arrays in NumPy's .npy format, in row-major order.</summary>
internal static partial class NumpyFile
{
    private const int Alignment = 64, MaximumHeader = 1 << 16, MaximumRank = 32;

    private static readonly byte[] _magic = [0x93, .. "NUMPY"u8];

    /// <summary>Reads an array of float32 or uint8.</summary>
    /// <exception cref="InvalidDataException">The file is not an array, is damaged, or has another type or order.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static TensorData Read(string path)
    {
        var (type, shape, values) = ReadContent(path, "<f4", "|u1");
        return new TensorData(shape, type == "<f4" ? MemoryMarshal.Cast<byte, float>(values.Span).ToArray() : [.. values.ToArray().Select(value => (float)value)]);
    }

    /// <summary>Reads an array of int64.</summary>
    /// <exception cref="InvalidDataException">The file is not an array, is damaged, or has another type or order.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
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
        // Version 1 has a header length of two bytes, versions 2 and 3 of four.
        int version = file[6];
        if (version is < 1 or > 3)
            throw new InvalidDataException($"'{path}' is a NumPy array file of format version {version}; versions 1 to 3 can be read.");
        int headerStart = version == 1 ? 10 : 12;
        uint headerLength = version == 1 ? BinaryPrimitives.ReadUInt16LittleEndian(file.AsSpan(8)) : BinaryPrimitives.ReadUInt32LittleEndian(file.AsSpan(8));
        if (headerLength > Math.Min(file.Length - headerStart, MaximumHeader))
            throw new InvalidDataException($"'{path}' is damaged: its header is said to have {headerLength} bytes, of {Math.Min(file.Length - headerStart, MaximumHeader)} at most.");
        string header = Encoding.Latin1.GetString(file, headerStart, (int)headerLength);
        var shape = Shape().Match(header);
        string type = Type().Match(header).Groups[1].Value;
        if (!shape.Success || !types.Contains(type) || !RowMajor().IsMatch(header))
            throw new InvalidDataException($"'{path}' must hold {string.Join(" or ", types.Select(NameOf))} values in row-major order: numpy.save(path, numpy.ascontiguousarray(array, numpy.{NameOf(types[0])})).");
        var content = file.AsMemory(headerStart + (int)headerLength);
        string[] dimensions = shape.Groups[1].Value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (dimensions.Length > MaximumRank)
            throw new InvalidDataException($"'{path}' is an array of {dimensions.Length} dimensions, of at most {MaximumRank}.");
        var sizes = new int[dimensions.Length];
        // In double, which does not overflow. A product that is not exact is larger than any file.
        double bytes = type[^1] - '0';
        for (int i = 0; i < sizes.Length; i++)
        {
            if (!int.TryParse(dimensions[i], NumberStyles.None, CultureInfo.InvariantCulture, out sizes[i]))
                throw new InvalidDataException($"'{path}' is damaged: its shape ({shape.Groups[1].Value}) has a dimension that is not a number up to {int.MaxValue}.");
            bytes *= sizes[i];
        }
        if (content.Length != bytes)
            throw new InvalidDataException($"'{path}' is damaged: {content.Length} bytes do not make an array of ({string.Join(", ", sizes)}).");
        return (type, sizes, content);
    }

    private static byte[] Content(string path)
    {
        using var stream = InputFile.Open(path);
        if (stream.Length > Array.MaxLength)
            throw new InvalidDataException($"'{path}' has {stream.Length} bytes; NumPy files of up to {Array.MaxLength} bytes can be read.");
        byte[] content = new byte[stream.Length];
        return stream.ReadAtLeast(content, content.Length, throwOnEndOfStream: false) == content.Length ? content
            : throw new InvalidDataException($"'{path}' ends early: it became shorter while it was read.");
    }

    private static string NameOf(string type) => type switch
    {
        "<f4" => "float32",
        "|u1" => "uint8",
        _ => "int64",
    };

    [GeneratedRegex(@"'descr': '([^']*)'")]
    private static partial Regex Type();

    [GeneratedRegex(@"'shape': \(([0-9, ]*)\)")]
    private static partial Regex Shape();

    [GeneratedRegex("'fortran_order': False")]
    private static partial Regex RowMajor();
}
