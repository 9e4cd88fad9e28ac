using System.Buffers.Binary;
using System.Text;

namespace RepVgg.Weights.PyTorch;

/// <summary>Writes a zip file of uncompressed entries whose content is aligned to 64 bytes, as in PyTorch's files.</summary>
/// <remarks>Source: PKWARE APPNOTE 6.3, without Zip64: a file has at most 4 GiB.</remarks>
internal sealed class ZipWriter(Stream stream)
{
    private const int Alignment = 64;
    private const int LocalSize = 30;
    private const ushort DosDate = 1 << 5 | 1; // 1 January 1980; the date is constant so that files of equal weights are identical

    private readonly List<(string Name, uint Crc, uint Size, uint Position)> _entries = [];
    private long _position;

    /// <summary>Adds an entry.</summary>
    /// <exception cref="InvalidOperationException">The file would have more than 4 GiB or 65,535 entries.</exception>
    public void Add(string name, ReadOnlySpan<byte> content)
    {
        var crc = new Crc32();
        crc.Append(content);
        byte[] path = Encoding.UTF8.GetBytes(name);
        long start = _position, data = start + LocalSize + path.Length + 4;
        int padding = (int)((Alignment - data % Alignment) % Alignment);
        if (data + padding + content.Length > uint.MaxValue || _entries.Count >= ushort.MaxValue)
            throw new InvalidOperationException("The weights are too large for one checkpoint file: at most 4 GiB and 65,535 tensors fit.");
        _entries.Add((name, crc.Value, (uint)content.Length, (uint)start));

        Write(0x04034b50u);
        Common(crc.Value, (uint)content.Length);
        Write((ushort)path.Length);
        Write((ushort)(padding + 4));
        Write(path);
        // The extra field with PyTorch's id "FB" contains only padding for the alignment.
        Write((ushort)0x4246);
        Write((ushort)padding);
        Write(new byte[padding]);
        Write(content);
    }

    /// <summary>Writes the central directory and the end record.</summary>
    public void Finish()
    {
        long start = _position;
        foreach (var (name, crc, size, position) in _entries)
        {
            byte[] path = Encoding.UTF8.GetBytes(name);
            Write(0x02014b50u);
            Write((ushort)20);
            Common(crc, size);
            Write((ushort)path.Length);
            Write(new byte[12]);
            Write(position);
            Write(path);
        }
        long length = _position - start;
        if (_position > uint.MaxValue)
            throw new InvalidOperationException("The weights are too large for one checkpoint file: at most 4 GiB and 65,535 tensors fit.");
        Write(0x06054b50u);
        Write(0u);
        Write((ushort)_entries.Count);
        Write((ushort)_entries.Count);
        Write((uint)length);
        Write((uint)start);
        Write((ushort)0);
    }

    /// <summary>Writes the fields that a local header and a directory entry have in common, from the version to the sizes.</summary>
    private void Common(uint crc, uint size)
    {
        Write((ushort)20);
        Write((ushort)(1 << 11)); // names are UTF-8
        Write((ushort)0); // stored
        Write((ushort)0);
        Write(DosDate);
        Write(crc);
        Write(size);
        Write(size);
    }

    private void Write(ushort value)
    {
        Span<byte> bytes = stackalloc byte[2];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, value);
        Write(bytes);
    }

    private void Write(uint value)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        Write(bytes);
    }

    private void Write(ReadOnlySpan<byte> bytes)
    {
        stream.Write(bytes);
        _position += bytes.Length;
    }
}
