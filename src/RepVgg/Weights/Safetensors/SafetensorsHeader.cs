using System.Buffers.Binary;
using System.Text.Json;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.Safetensors;

/// <summary>The header entry of one tensor of a safetensors file.</summary>
/// <param name="Name">Name of the tensor.</param>
/// <param name="Type">Type of the values.</param>
/// <param name="Shape">Dimensions of the tensor.</param>
/// <param name="Begin">Offset of the first byte, relative to the end of the header.</param>
/// <param name="End">Offset of the byte after the last one, relative to the end of the header.</param>
internal sealed record SafetensorsEntry(string Name, ScalarType Type, int[] Shape, long Begin, long End);

/// <summary>The validated header of a safetensors file.</summary>
/// <remarks>Source: the safetensors format. A file consists of a 64-bit length, a JSON object of that length, and the values of the tensors without gaps or overlaps.</remarks>
internal sealed class SafetensorsHeader
{
    private const int LengthBytes = 8;
    private const int MaximumLength = 32 << 20;
    private const int MaximumTensors = 100_000;

    private SafetensorsHeader(long dataStart, List<SafetensorsEntry> entries, Dictionary<string, string> metadata) =>
        (DataStart, Entries, Metadata) = (dataStart, entries, metadata);

    /// <summary>Position of the values in the file, in bytes.</summary>
    public long DataStart { get; }

    /// <summary>The tensors in the order of the header.</summary>
    public IReadOnlyList<SafetensorsEntry> Entries { get; }

    /// <summary>The string properties of <c>__metadata__</c>.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Whether a file with the given first bytes can be a safetensors file, which may be cut off: a length below 4 GiB and the start of a JSON object.</summary>
    public static bool IsLikely(ReadOnlySpan<byte> start) =>
        start.Length > LengthBytes && start[LengthBytes] == (byte)'{' && BinaryPrimitives.ReadUInt64LittleEndian(start) <= uint.MaxValue;

    /// <summary>Reads and checks a header.</summary>
    /// <exception cref="InvalidDataException">The file is not a safetensors file. The message contains only the reason.</exception>
    public static SafetensorsHeader Read(ByteSource file)
    {
        if (file.Length < LengthBytes + 2)
            throw new InvalidDataException("it is too short");
        Span<byte> prefix = stackalloc byte[LengthBytes];
        file.Read(0, prefix);
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (length > (ulong)(file.Length - LengthBytes))
            throw new InvalidDataException("its header is longer than the file");
        if (length > MaximumLength)
            throw new InvalidDataException($"its header has {length} bytes, more than {MaximumLength}");
        byte[] json = file.Read(LengthBytes, (int)length);
        try
        {
            return Parse(json, LengthBytes + (long)length, file.Length);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or FormatException or KeyNotFoundException)
        {
            throw new InvalidDataException($"its header is damaged: {error.Message.TrimEnd('.')}", error);
        }
    }

    private static SafetensorsHeader Parse(byte[] json, long dataStart, long fileLength)
    {
        using var document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = 8 });
        var entries = new List<SafetensorsEntry>();
        var metadata = new Dictionary<string, string>(StringComparer.Ordinal);
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var property in document.RootElement.EnumerateObject())
        {
            if (!names.Add(property.Name))
                throw new InvalidDataException($"it describes '{property.Name}' twice");
            if (property.Name != "__metadata__")
            {
                if (entries.Count == MaximumTensors)
                    throw new InvalidDataException($"it has more than {MaximumTensors} tensors");
                entries.Add(Entry(property.Name, property.Value));
                continue;
            }
            foreach (var item in property.Value.EnumerateObject())
                metadata[item.Name] = item.Value.GetString() ?? "";
        }
        CheckLayout(entries, fileLength - dataStart);
        return new SafetensorsHeader(dataStart, entries, metadata);
    }

    private static SafetensorsEntry Entry(string name, JsonElement value)
    {
        string type = value.GetProperty("dtype").GetString() ?? "";
        var scalar = SafetensorsTypes.Parse(type) ?? throw new InvalidDataException($"'{name}' is of type '{type}', which is not supported");
        int[] shape = [.. value.GetProperty("shape").EnumerateArray().Select(dimension => dimension.GetInt32())];
        long[] offsets = [.. value.GetProperty("data_offsets").EnumerateArray().Select(offset => offset.GetInt64())];
        if (offsets is not [>= 0 and var begin, var end] || end < begin)
            throw new InvalidDataException($"the offsets of '{name}' are not a valid range");
        Int128 count = 1;
        foreach (int dimension in shape)
            count = dimension >= 0 ? Int128.Min(count * dimension, long.MaxValue) : throw new InvalidDataException($"'{name}' has a dimension {dimension}");
        if (count * StorageDecoder.SizeOf(scalar) != end - begin || count > Array.MaxLength)
            throw new InvalidDataException($"'{name}' has shape [{string.Join(", ", shape)}] and type {type}, which do not match its size of {end - begin} bytes");
        return new SafetensorsEntry(name, scalar, shape, begin, end);
    }

    private static void CheckLayout(List<SafetensorsEntry> entries, long dataLength)
    {
        long position = 0;
        foreach (var entry in entries.OrderBy(entry => entry.Begin).ThenBy(entry => entry.End))
        {
            if (entry.Begin != position)
                throw new InvalidDataException($"'{entry.Name}' {(entry.Begin < position ? "overlaps another tensor" : "begins after a gap")}");
            position = entry.End;
        }
        if (position != dataLength)
            throw new InvalidDataException(position > dataLength ? "it is cut off: tensors lie beyond its end" : $"{dataLength - position} bytes after its tensors belong to no tensor");
    }
}

/// <summary>Converts the type names of safetensors files.</summary>
internal static class SafetensorsTypes
{
    public static ScalarType? Parse(string type) => type switch
    {
        "F64" => ScalarType.Float64,
        "F32" => ScalarType.Float32,
        "F16" => ScalarType.Float16,
        "BF16" => ScalarType.BFloat16,
        "I64" => ScalarType.Int64,
        "I32" => ScalarType.Int32,
        "I16" => ScalarType.Int16,
        "I8" => ScalarType.Int8,
        "U8" => ScalarType.UInt8,
        "BOOL" => ScalarType.Bool,
        _ => null,
    };
}
