using System.Buffers.Binary;
using System.Text;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.PyTorch;

/// <summary>Reads the directory of a zip file whose entries are stored without compression, as PyTorch writes them.</summary>
/// <remarks>
/// Source: PKWARE APPNOTE 6.3, with Zip64. Entries are read by their position in the file. Nothing is decompressed, and only
/// the directory is kept in memory.
/// </remarks>
internal sealed class ZipDirectory
{
    private const uint EndMark = 0x06054b50, End64Mark = 0x06064b50, Locator64Mark = 0x07064b50, EntryMark = 0x02014b50, LocalMark = 0x04034b50;
    private const int EndSize = 22, Locator64Size = 20, End64Size = 56, EntrySize = 46, LocalSize = 30;
    private const int MaximumDirectory = 64 << 20;

    private readonly Dictionary<string, Entry> _entries = new(StringComparer.Ordinal);
    private readonly ByteSource _file;

    private readonly record struct Entry(long LocalHeader, long Size, int Method, bool Encrypted);

    /// <summary>Reads the directory of a zip file.</summary>
    /// <param name="file">The file.</param>
    public ZipDirectory(ByteSource file)
    {
        _file = file;
        var (offset, size, count) = FindDirectory();
        if (size > MaximumDirectory || offset < 0 || size < 0 || offset > file.Length - size || count > size / EntrySize)
            throw Bad("its directory of entries lies outside the file");
        ReadDirectory(_file.Read(offset, (int)size), count);
    }

    /// <summary>The names of all entries.</summary>
    public IEnumerable<string> Names => _entries.Keys;

    public bool Contains(string name) => _entries.ContainsKey(name);

    /// <summary>Gets the position and the size of an entry's content in the file, in bytes.</summary>
    public (long Position, long Size) Locate(string name)
    {
        if (!_entries.TryGetValue(name, out var entry))
            throw Bad($"it has no entry '{name}'");
        if (entry.Encrypted)
            throw Bad($"its entry '{name}' is encrypted");
        if (entry.Method != 0)
            throw Bad($"its entry '{name}' is compressed, which is not supported for PyTorch checkpoints");
        if (entry.LocalHeader < 0 || entry.LocalHeader > _file.Length - LocalSize)
            throw Bad($"its entry '{name}' lies outside the file");
        byte[] header = _file.Read(entry.LocalHeader, LocalSize);
        if (BinaryPrimitives.ReadUInt32LittleEndian(header) != LocalMark)
            throw Bad($"its entry '{name}' has no header where the directory says");
        long position = entry.LocalHeader + LocalSize + BinaryPrimitives.ReadUInt16LittleEndian(header.AsSpan(26)) + BinaryPrimitives.ReadUInt16LittleEndian(header.AsSpan(28));
        if (entry.Size < 0 || position > _file.Length - entry.Size)
            throw Bad($"its entry '{name}' is cut off");
        return (position, entry.Size);
    }

    /// <summary>Reads the content of an entry of at most <paramref name="limit"/> bytes.</summary>
    public byte[] Read(string name, int limit)
    {
        var (position, size) = Locate(name);
        if (size > limit)
            throw Bad($"its entry '{name}' has {size} bytes, more than {limit}");
        return _file.Read(position, (int)size);
    }

    private (long Offset, long Size, long Count) FindDirectory()
    {
        // The end record is followed by a comment of at most 65535 bytes.
        int tailSize = (int)Math.Min(_file.Length, EndSize + ushort.MaxValue);
        if (tailSize < EndSize)
            throw Bad("it is too short");
        long tailStart = _file.Length - tailSize;
        byte[] tail = _file.Read(tailStart, tailSize);
        for (int at = tailSize - EndSize; at >= 0; at--)
        {
            var end = tail.AsSpan(at);
            if (BinaryPrimitives.ReadUInt32LittleEndian(end) != EndMark || at + EndSize + BinaryPrimitives.ReadUInt16LittleEndian(end[20..]) > tailSize)
                continue;
            if (Find64(tailStart + at) is { } directory64)
                return directory64;
            return (BinaryPrimitives.ReadUInt32LittleEndian(end[16..]), BinaryPrimitives.ReadUInt32LittleEndian(end[12..]), BinaryPrimitives.ReadUInt16LittleEndian(end[10..]));
        }
        throw Bad("it ends without a zip directory; it may have been cut off");
    }

    private (long Offset, long Size, long Count)? Find64(long endPosition)
    {
        if (endPosition < Locator64Size)
            return null;
        byte[] locator = _file.Read(endPosition - Locator64Size, Locator64Size);
        if (BinaryPrimitives.ReadUInt32LittleEndian(locator) != Locator64Mark)
            return null;
        long position = BinaryPrimitives.ReadInt64LittleEndian(locator.AsSpan(8));
        if (position < 0 || position > _file.Length - End64Size)
            throw Bad("its Zip64 directory lies outside the file");
        byte[] end = _file.Read(position, End64Size);
        if (BinaryPrimitives.ReadUInt32LittleEndian(end) != End64Mark)
            throw Bad("its Zip64 directory is damaged");
        return (BinaryPrimitives.ReadInt64LittleEndian(end.AsSpan(48)), BinaryPrimitives.ReadInt64LittleEndian(end.AsSpan(40)), BinaryPrimitives.ReadInt64LittleEndian(end.AsSpan(32)));
    }

    private void ReadDirectory(byte[] directory, long count)
    {
        var rest = directory.AsSpan();
        for (long i = 0; i < count; i++)
        {
            if (rest.Length < EntrySize || BinaryPrimitives.ReadUInt32LittleEndian(rest) != EntryMark)
                throw Bad("its directory of entries is damaged");
            int flags = BinaryPrimitives.ReadUInt16LittleEndian(rest[8..]);
            int method = BinaryPrimitives.ReadUInt16LittleEndian(rest[10..]);
            long compressed = BinaryPrimitives.ReadUInt32LittleEndian(rest[20..]);
            long size = BinaryPrimitives.ReadUInt32LittleEndian(rest[24..]);
            int nameLength = BinaryPrimitives.ReadUInt16LittleEndian(rest[28..]);
            int extraLength = BinaryPrimitives.ReadUInt16LittleEndian(rest[30..]);
            int commentLength = BinaryPrimitives.ReadUInt16LittleEndian(rest[32..]);
            long header = BinaryPrimitives.ReadUInt32LittleEndian(rest[42..]);
            int whole = EntrySize + nameLength + extraLength + commentLength;
            if (rest.Length < whole)
                throw Bad("its directory of entries is cut off");
            Widen(rest.Slice(EntrySize + nameLength, extraLength), ref size, ref compressed, ref header);
            string name = Encoding.UTF8.GetString(rest.Slice(EntrySize, nameLength));
            if (method == 0 && size != compressed)
                throw Bad($"its entry '{name}' has two different sizes");
            if (!_entries.TryAdd(name, new Entry(header, size, method, (flags & 1) != 0)))
                throw Bad($"it has two entries '{name}'");
            rest = rest[whole..];
        }
    }

    /// <summary>Replaces the values that do not fit in 32 bits by those of the Zip64 extra field.</summary>
    private void Widen(ReadOnlySpan<byte> extra, ref long size, ref long compressed, ref long header)
    {
        while (extra.Length >= 4)
        {
            int id = BinaryPrimitives.ReadUInt16LittleEndian(extra), length = BinaryPrimitives.ReadUInt16LittleEndian(extra[2..]);
            if (length > extra.Length - 4)
                return;
            var field = extra.Slice(4, length);
            extra = extra[(4 + length)..];
            if (id != 1)
                continue;
            size = Next(ref field, size);
            compressed = Next(ref field, compressed);
            header = Next(ref field, header);
            return;
        }

        long Next(ref ReadOnlySpan<byte> field, long value)
        {
            if (value != uint.MaxValue)
                return value;
            if (field.Length < 8)
                throw Bad("its Zip64 sizes are cut off");
            long wide = BinaryPrimitives.ReadInt64LittleEndian(field);
            field = field[8..];
            return wide;
        }
    }

    private InvalidDataException Bad(string reason) => new($"{_file.Name} is not a readable PyTorch checkpoint: {MessageText.WithoutControls(reason)}.");
}
