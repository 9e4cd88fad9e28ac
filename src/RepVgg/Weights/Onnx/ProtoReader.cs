using System.Buffers.Binary;
using System.Text;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.Onnx;

/// <summary>Reads one protocol-buffer message. Every length is checked against the size of the message. Long values are not read, but returned as slices.</summary>
/// <param name="window">Reads the small values. The readers of all messages in a file share one.</param>
/// <param name="message">The message.</param>
internal ref struct ProtoReader(ByteWindow window, ByteSlice message)
{
    private const int MaximumText = 1 << 20;

    private readonly long _end = message.Start + message.Length;
    private long _position = message.Start;

    /// <summary>The wire type of the field that <see cref="Next"/> found.</summary>
    public int WireType { get; private set; }

    private readonly long Left => _end - _position;

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
    public ProtoReader Message() => new(window, Slice());

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
        return BinaryPrimitives.ReadSingleLittleEndian(window.Bytes(Advance(4), 4));
    }

    public string Text()
    {
        var text = Slice();
        if (text.Length > MaximumText)
            throw new InvalidDataException($"it holds a text of {text.Length} bytes");
        int length = (int)text.Length;
        return Encoding.UTF8.GetString(length <= ByteWindow.Size ? window.Bytes(text.Start, length) : text.Source.Read(text.Start, length));
    }

    /// <summary>Gets a length-delimited value without reading it.</summary>
    public ByteSlice Slice()
    {
        Expect(2);
        ulong length = Varint();
        return length <= (ulong)Left
            ? new ByteSlice(window.Source, Advance((long)length), (long)length)
            : throw new InvalidDataException("it ends early, or a length in it is wrong");
    }

    /// <summary>Skips the current field.</summary>
    public void Skip()
    {
        switch (WireType)
        {
            case 0: Varint(); break;
            case 1: Advance(8); break;
            case 2: Slice(); break;
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
            byte next = window.Byte(Advance(1));
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

    /// <summary>Moves behind the next bytes of the message, and returns the position of the first of them.</summary>
    private long Advance(long count)
    {
        if (count > Left)
            throw new InvalidDataException("it ends early");
        _position += count;
        return _position - count;
    }
}
