using System.Buffers.Binary;
using System.Text;

namespace RepVgg.Formats.Onnx;

/// <summary>Reads protocol-buffer messages from a stream; no length is believed before it is checked.</summary>
/// <param name="stream">Seekable; messages are read from its current position.</param>
internal sealed class ProtoReader(Stream stream)
{
    private const int MaximumText = 1 << 20;
    private const int MaximumDepth = 32;

    private readonly Stack<long> _ends = new();
    private long _position = stream.Position;
    private long _end = stream.Length;

    /// <summary>The wire type of the field that <see cref="Next"/> found.</summary>
    public int WireType { get; private set; }

    /// <summary>Bytes left in the current message.</summary>
    public long Left => _end - _position;

    /// <summary>Reads the next field's number; 0 at the message's end.</summary>
    public int Next()
    {
        if (_position >= _end)
            return 0;
        ulong tag = Varint();
        WireType = (int)(tag & 7);
        if (tag >> 3 is 0 or > int.MaxValue)
            throw new InvalidDataException("it holds a field without a number");
        return (int)(tag >> 3);
    }

    /// <summary>Reads a message: calls <paramref name="field"/> for each field, which must consume or skip it.</summary>
    public void Message(Action<int> field)
    {
        long length = Length();
        if (_ends.Count >= MaximumDepth)
            throw new InvalidDataException("its messages are nested too deep");
        _ends.Push(_end);
        _end = _position + length;
        Fields(field);
        _end = _ends.Pop();
    }

    /// <summary>Reads the fields of the current message to its end.</summary>
    public void Fields(Action<int> field)
    {
        for (int number = Next(); number != 0; number = Next())
            field(number);
    }

    public long Integer()
    {
        Expect(0);
        return (long)Varint();
    }

    /// <summary>Reads one integer or a packed list of them.</summary>
    public void Integers(List<long> values, int maximum)
    {
        if (WireType == 0)
        {
            Add(values, maximum);
            return;
        }
        for (long end = Length() + _position; _position < end;)
            Add(values, maximum);
    }

    public float Single()
    {
        Expect(5);
        Span<byte> bytes = stackalloc byte[4];
        Read(bytes);
        return BinaryPrimitives.ReadSingleLittleEndian(bytes);
    }

    public string Text()
    {
        long length = Length();
        return length <= MaximumText ? Encoding.UTF8.GetString(Bytes(length)) : throw new InvalidDataException($"it holds a text of {length} bytes");
    }

    public byte[] Bytes()
    {
        long length = Length();
        return length <= Array.MaxLength ? Bytes(length) : throw new InvalidDataException($"it holds a value of {length} bytes");
    }

    /// <summary>Passes over the current field.</summary>
    public void Skip()
    {
        switch (WireType)
        {
            case 0: Varint(); break;
            case 1: Advance(8); break;
            case 2: Advance(Length()); break;
            case 5: Advance(4); break;
            default: throw new InvalidDataException($"it holds a field of wire type {WireType}");
        }
    }

    private void Add(List<long> values, int maximum)
    {
        if (values.Count >= maximum)
            throw new InvalidDataException($"it holds a list of more than {maximum} integers");
        values.Add((long)Varint());
    }

    private byte[] Bytes(long length)
    {
        byte[] bytes = new byte[length];
        Read(bytes);
        return bytes;
    }

    /// <summary>Reads a length, and makes sure that so much is left.</summary>
    private long Length()
    {
        Expect(2);
        ulong length = Varint();
        return length <= (ulong)Left ? (long)length : throw new InvalidDataException("it ends early, or a length in it is wrong");
    }

    private ulong Varint()
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            if (Left < 1)
                throw new InvalidDataException("it ends early");
            int next = stream.ReadByte();
            if (next < 0)
                throw new InvalidDataException("it ends early");
            _position++;
            value |= (ulong)(next & 0x7f) << shift;
            if (next < 0x80)
                return value;
        }
        throw new InvalidDataException("it holds a number of more than 64 bits");
    }

    private void Expect(int wireType)
    {
        if (WireType != wireType)
            throw new InvalidDataException($"it holds a field of wire type {WireType} where {wireType} belongs");
    }

    private void Read(Span<byte> bytes)
    {
        if (bytes.Length > Left || stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false) < bytes.Length)
            throw new InvalidDataException("it ends early");
        _position += bytes.Length;
    }

    private void Advance(long count)
    {
        if (count > Left)
            throw new InvalidDataException("it ends early");
        stream.Seek(count, SeekOrigin.Current);
        _position += count;
    }
}
