using System.Buffers.Binary;
using System.Text;

namespace RepVgg.Weights.Onnx;

/// <summary>Reads one protocol-buffer message from memory. Every length is checked against the size of the message.</summary>
/// <param name="message">The message.</param>
internal ref struct ProtoReader(ReadOnlyMemory<byte> message)
{
    private const int MaximumText = 1 << 20;

    private readonly ReadOnlyMemory<byte> _message = message;
    private readonly ReadOnlySpan<byte> _bytes = message.Span;
    private int _position;

    /// <summary>The wire type of the field that <see cref="Next"/> found.</summary>
    public int WireType { get; private set; }

    /// <summary>Size of the message in bytes.</summary>
    public readonly int Length => _bytes.Length;

    private readonly int Left => _bytes.Length - _position;

    /// <summary>Reads the number of the next field; returns false at the end of the message. The field must then be read or skipped.</summary>
    public bool Next(out int field)
    {
        field = 0;
        if (Left == 0)
            return false;
        ulong tag = Varint();
        WireType = (int)(tag & 7);
        if (tag >> 3 is 0 or > int.MaxValue)
            throw new InvalidDataException("it holds a field without a number");
        field = (int)(tag >> 3);
        return true;
    }

    /// <summary>Reads an embedded message.</summary>
    public ProtoReader Message() => new(Bytes());

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
        for (var packed = Message(); packed.Left > 0;)
            packed.Add(values, maximum);
    }

    public float Single()
    {
        Expect(5);
        return BinaryPrimitives.ReadSingleLittleEndian(Advance(4).Span);
    }

    public string Text()
    {
        var bytes = Bytes();
        return bytes.Length <= MaximumText ? Encoding.UTF8.GetString(bytes.Span) : throw new InvalidDataException($"it holds a text of {bytes.Length} bytes");
    }

    /// <summary>Reads a length-delimited value. The returned memory is a slice of the message.</summary>
    public ReadOnlyMemory<byte> Bytes()
    {
        Expect(2);
        ulong length = Varint();
        return length <= (ulong)Left ? Advance((int)length) : throw new InvalidDataException("it ends early, or a length in it is wrong");
    }

    /// <summary>Skips the current field.</summary>
    public void Skip()
    {
        switch (WireType)
        {
            case 0: Varint(); break;
            case 1: Advance(8); break;
            case 2: Bytes(); break;
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

    private ulong Varint()
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            if (Left < 1)
                throw new InvalidDataException("it ends early");
            byte next = _bytes[_position++];
            value |= (ulong)(next & 0x7f) << shift;
            if (next < 0x80)
                return value;
        }
        throw new InvalidDataException("it holds a number of more than 64 bits");
    }

    private readonly void Expect(int wireType)
    {
        if (WireType != wireType)
            throw new InvalidDataException($"it holds a field of wire type {WireType}; wire type {wireType} was expected");
    }

    private ReadOnlyMemory<byte> Advance(int count)
    {
        if (count > Left)
            throw new InvalidDataException("it ends early");
        _position += count;
        return _message.Slice(_position - count, count);
    }
}
