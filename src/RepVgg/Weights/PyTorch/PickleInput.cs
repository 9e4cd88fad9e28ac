using System.Buffers.Binary;
using System.Text;
using RepVgg.Runtime;

namespace RepVgg.Weights.PyTorch;

/// <summary>Reads the bytes of a pickle, and creates exceptions that name the file.</summary>
/// <param name="stream">The stream. It is not read beyond the last byte of the pickle.</param>
/// <param name="limit">Maximum number of bytes to read.</param>
/// <param name="file">Name of the file in error messages.</param>
internal sealed class PickleInput(Stream stream, long limit, string file)
{
    private const int MaximumName = 512;

    private readonly StringBuilder _line = new();

    /// <summary>Number of bytes that were read.</summary>
    public long BytesRead { get; private set; }

    public InvalidDataException Bad(string reason) => new($"{file} is not a readable PyTorch checkpoint: {MessageText.WithoutControls(reason)}.");

    public byte Byte()
    {
        Take(1);
        int value = stream.ReadByte();
        return value >= 0 ? (byte)value : throw Bad("its pickle ends early");
    }

    public ushort UInt16() => BinaryPrimitives.ReadUInt16LittleEndian(Fill(stackalloc byte[2]));

    public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Fill(stackalloc byte[4]));

    public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Fill(stackalloc byte[8]));

    /// <summary>Reads a byte string of a given length.</summary>
    public byte[] Bytes(ulong length, int maximum)
    {
        if (length > (ulong)maximum || (long)length > limit - BytesRead)
            throw Bad($"its pickle holds a string of {length} bytes");
        byte[] bytes = new byte[length];
        Fill(bytes);
        return bytes;
    }

    /// <summary>Reads text up to a line feed. Each character is one byte.</summary>
    public string Line(int maximum = MaximumName)
    {
        _line.Clear();
        for (byte next = Byte(); next != (byte)'\n'; next = Byte())
        {
            if (_line.Length >= maximum)
                throw Bad("its pickle holds a line that is too long");
            _line.Append((char)next);
        }
        return _line.ToString();
    }

    private Span<byte> Fill(Span<byte> bytes)
    {
        Take(bytes.Length);
        if (stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false) < bytes.Length)
            throw Bad("its pickle ends early");
        return bytes;
    }

    private void Take(int count)
    {
        BytesRead += count;
        if (BytesRead > limit)
            throw Bad("its pickle is cut off, or longer than any checkpoint's");
    }
}
