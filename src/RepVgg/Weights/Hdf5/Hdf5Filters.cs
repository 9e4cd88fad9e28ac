using System.IO.Compression;

namespace RepVgg.Weights.Hdf5;

/// <summary>The filters that the chunks of a dataset are stored with: deflate, shuffle and the checksum Fletcher-32.</summary>
/// <param name="filters">Numbers of the filters in the order in which they were applied, and their names.</param>
internal sealed class Hdf5Filters(IReadOnlyList<(int Number, string Name)> filters)
{
    private const int Deflate = 1, Shuffle = 2, Fletcher32 = 3;
    private const int ChecksumBytes = 4;

    /// <summary>Reads the message of a dataset's filters.</summary>
    /// <param name="message">The message; null for no filters.</param>
    public static Hdf5Filters Read(Hdf5Message? message)
    {
        var filters = new List<(int, string)>();
        if (message is null)
            return new Hdf5Filters(filters);
        var cursor = new Hdf5Cursor(message.Content, 0);
        int version = cursor.Byte(), count = cursor.Byte();
        cursor.Skip(version == 1 ? 6 : 0);
        for (int i = 0; i < count; i++)
        {
            int number = cursor.UInt16(), nameSize = version == 1 || number >= 256 ? cursor.UInt16() : 0;
            cursor.Skip(2);
            int values = cursor.UInt16();
            string name = System.Text.Encoding.ASCII.GetString(cursor.Bytes(version == 1 ? (nameSize + 7) / 8 * 8 : nameSize)).TrimEnd('\0');
            cursor.Skip(4 * values + (version == 1 && values % 2 != 0 ? 4 : 0));
            filters.Add((number, name));
        }
        return new Hdf5Filters(filters);
    }

    /// <summary>Decodes a chunk.</summary>
    /// <param name="stored">The stored bytes.</param>
    /// <param name="skipped">Bits of the filters that were not applied to this chunk.</param>
    /// <param name="length">Bytes of the decoded chunk.</param>
    /// <param name="valueSize">Bytes of a value.</param>
    /// <param name="path">Path of the dataset for messages.</param>
    /// <exception cref="InvalidDataException">The chunk is damaged, or a filter is not supported.</exception>
    public byte[] Decode(byte[] stored, uint skipped, int length, int valueSize, string path)
    {
        byte[] content = stored;
        for (int i = filters.Count - 1; i >= 0; i--)
        {
            if (i < 32 && (skipped >> i & 1) != 0)
                continue;
            var (number, name) = filters[i];
            content = number switch
            {
                Deflate => Inflate(content, length + ChecksumBytes, path),
                Shuffle => Unshuffle(content, valueSize),
                Fletcher32 => WithoutChecksum(content, path),
                _ => throw new InvalidDataException($"'{path}' is compressed by the filter {number}{(name.Length > 0 ? $" ('{Runtime.MessageText.Printable(name)}')" : "")}; gzip, shuffle and Fletcher-32 are supported. Write it without compression"),
            };
        }
        return content.Length == length ? content : throw new InvalidDataException($"a chunk of '{path}' has {content.Length} bytes, not {length}, so that it is damaged");
    }

    private static byte[] Inflate(byte[] compressed, int maximum, string path)
    {
        using var source = new ZLibStream(new MemoryStream(compressed), CompressionMode.Decompress);
        byte[] content = new byte[maximum];
        try
        {
            int count = source.ReadAtLeast(content, maximum, throwOnEndOfStream: false);
            return count < maximum || source.ReadByte() < 0 ? content[..count] : throw new InvalidDataException("it is longer than the chunk");
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException($"a chunk of '{path}' cannot be decompressed: {Runtime.MessageText.Reason(error)}", error);
        }
    }

    /// <summary>Reverses the filter that stores the first bytes of all values, then the second bytes, and so on. Bytes after the last whole value stay.</summary>
    private static byte[] Unshuffle(byte[] shuffled, int valueSize)
    {
        int count = shuffled.Length / valueSize;
        byte[] values = (byte[])shuffled.Clone();
        for (int part = 0; part < valueSize; part++)
        {
            for (int i = 0; i < count; i++)
                values[i * valueSize + part] = shuffled[part * count + i];
        }
        return values;
    }

    /// <summary>Checks and removes the checksum at the end: Fletcher's sums of big-endian words, modulo 65,535.</summary>
    private static byte[] WithoutChecksum(byte[] content, string path)
    {
        if (content.Length < ChecksumBytes)
            throw new InvalidDataException($"a chunk of '{path}' is too short, so that it is damaged");
        byte[] data = content[..^ChecksumBytes];
        long first = 0, second = 0;
        for (int i = 0; i < data.Length; i += 2)
        {
            first = (first + (data[i] << 8 | (i + 1 < data.Length ? data[i + 1] : 0))) % 65535;
            second = (second + first) % 65535;
        }
        var stored = new Hdf5Cursor(content, data.Length);
        uint checksum = stored.UInt32();
        // The sums are 0 or 65,535 for the same remainder.
        bool fits = checksum % 65536 % 65535 == first && checksum / 65536 % 65535 == second;
        return fits ? data : throw new InvalidDataException($"a chunk of '{path}' does not have its checksum, so that it is damaged");
    }
}
