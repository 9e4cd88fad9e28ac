using System.Buffers.Binary;
using System.Text;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.PyTorch;

/// <summary>Reads the bytes of a pickle, and creates exceptions that name the file.</summary>
/// <param name="source">The file, which starts with the pickle.</param>
/// <param name="limit">Maximum number of bytes to read.</param>
/// <param name="file">Name of the file in error messages.</param>
internal sealed class PickleInput(ByteSource source, long limit, string file)
{
    private const int MaximumName = 512;

    private readonly StringBuilder _line = new();
    private readonly ByteWindow _window = new(source);
    private readonly long _end = Math.Min(limit, source.Length);

    private long _bytesRead;

    /// <summary>Number of bytes that were read.</summary>
    public long BytesRead => _bytesRead;

    public InvalidDataException Bad(string reason) => new($"{file} is not a readable PyTorch checkpoint: {MessageText.WithoutControls(reason)}.");

    public byte Byte() => _window.Byte(Take(1));

    public ushort UInt16() => BinaryPrimitives.ReadUInt16LittleEndian(_window.Bytes(Take(2), 2));

    public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(_window.Bytes(Take(4), 4));

    public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(_window.Bytes(Take(8), 8));

    /// <summary>Reads a byte string of a given length.</summary>
    public byte[] Bytes(ulong length, int maximum)
    {
        if (length > (ulong)maximum || (long)length > _end - _bytesRead)
            throw Bad($"its pickle holds a string of {length} bytes");
        return source.Read(Take((int)length), (int)length);
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

    /// <summary>Moves behind the next bytes, and returns the position of the first of them.</summary>
    private long Take(int count)
    {
        if (count > _end - _bytesRead)
            throw Bad("its pickle is cut off, or longer than any checkpoint's");
        _bytesRead += count;
        return _bytesRead - count;
    }
}
