namespace RepVgg.Reliability.Tests.Fuzzing;

/// <summary>Changes of Protocol Buffers messages, field by field, so that the result is again a sound message: fields removed, repeated, moved and given other values, and names replaced by other names, which connects a graph in other ways.</summary>
internal sealed class ProtoMutations
{
    private const int MaximumDepth = 8, LongestName = 64, MaximumRepeats = 40;

    private readonly Field[] _message;
    private readonly List<byte[]> _names = [];
    private readonly List<Field> _parts = [];

    /// <param name="file">A sound message.</param>
    public ProtoMutations(byte[] file)
    {
        _message = Parse(file, 0) ?? throw new ArgumentException("The file is no message.");
        Collect(_message);
    }

    public byte[] Change(Random random)
    {
        var message = _message;
        for (int changes = 1 + random.Next(4); changes > 0; changes--)
            message = Change(message, random);
        using var stream = new MemoryStream();
        Write(stream, message);
        return stream.ToArray();
    }

    private Field[] Change(Field[] message, Random random)
    {
        if (message.Length == 0)
            return message;
        int at = random.Next(message.Length);
        var field = message[at];
        var fields = message.ToList();
        if (field.Nested is { } nested && random.Next(5) != 0)
        {
            fields[at] = field with { Nested = Change(nested, random) };
            return [.. fields];
        }
        switch (random.Next(12))
        {
            case 0:
                fields.RemoveAt(at);
                break;
            case 1:
                fields.Insert(random.Next(fields.Count + 1), field);
                break;
            case 2:
                fields.RemoveAt(at);
                fields.Insert(random.Next(fields.Count + 1), field);
                break;
            case 3:
                fields.Insert(at, _parts[random.Next(_parts.Count)]);
                break;
            case 4 when random.Next(4) == 0:
                fields.InsertRange(at, Enumerable.Repeat(field, random.Next(MaximumRepeats)));
                break;
            case 5 when random.Next(4) == 0:
                fields[at] = field with { Number = 1 + random.Next(24) };
                break;
            default:
                fields[at] = WithOtherValue(field, random);
                break;
        }
        return [.. fields];
    }

    private Field WithOtherValue(Field field, Random random) => field switch
    {
        { Bytes: { } bytes } => field with { Bytes = random.Next(4) == 0 || bytes.Length > LongestName || _names.Count == 0 ? ByteMutations.Change(bytes, random) : _names[random.Next(_names.Count)] },
        { Nested: { } nested } => field with { Nested = [.. nested.Reverse()] },
        _ => field with { Value = (ulong)ByteMutations.Number(random) },
    };

    private void Collect(Field[] message)
    {
        foreach (var field in message)
        {
            if (field.Bytes is { Length: > 0 and <= LongestName } bytes)
                _names.Add(bytes);
            if (field.Nested is { } nested)
            {
                _parts.Add(field);
                Collect(nested);
            }
        }
        if (_parts.Count == 0)
            _parts.AddRange(message);
    }

    private static Field[]? Parse(ReadOnlySpan<byte> bytes, int depth)
    {
        var fields = new List<Field>();
        int at = 0;
        while (at < bytes.Length)
        {
            if (!TryVarint(bytes, ref at, out ulong tag) || tag >> 3 is 0 or > 1000)
                return null;
            int number = (int)(tag >> 3), wire = (int)(tag & 7);
            int size = wire switch { 1 => 8, 5 => 4, _ => 0 };
            if (wire == 0)
            {
                if (!TryVarint(bytes, ref at, out ulong value))
                    return null;
                fields.Add(new Field(number, wire, value, null, null));
            }
            else if (wire is 1 or 5 && at + size <= bytes.Length)
            {
                ulong value = 0;
                for (int i = 0; i < size; i++)
                    value |= (ulong)bytes[at + i] << (8 * i);
                fields.Add(new Field(number, wire, value, null, null));
                at += size;
            }
            else if (wire == 2 && TryVarint(bytes, ref at, out ulong length) && length <= (ulong)(bytes.Length - at))
            {
                var content = bytes.Slice(at, (int)length);
                var nested = depth == MaximumDepth || content.Length < 2 || IsText(content) ? null : Parse(content, depth + 1);
                fields.Add(new Field(number, wire, 0, nested is null ? content.ToArray() : null, nested));
                at += content.Length;
            }
            else
            {
                return null;
            }
        }
        return [.. fields];
    }

    private static bool IsText(ReadOnlySpan<byte> bytes)
    {
        foreach (byte value in bytes)
        {
            if (value is < 0x20 or > 0x7e)
                return false;
        }
        return true;
    }

    private static bool TryVarint(ReadOnlySpan<byte> bytes, ref int at, out ulong value)
    {
        value = 0;
        for (int shift = 0; at < bytes.Length && shift < 64; shift += 7)
        {
            byte next = bytes[at++];
            value |= (ulong)(next & 0x7f) << shift;
            if (next < 0x80)
                return true;
        }
        return false;
    }

    private static void Write(MemoryStream stream, Field[] message)
    {
        foreach (var field in message)
        {
            WriteVarint(stream, (ulong)field.Number << 3 | (uint)field.Wire);
            switch (field.Wire)
            {
                case 0:
                    WriteVarint(stream, field.Value);
                    break;
                case 2 when field.Nested is { } nested:
                    using (var inner = new MemoryStream())
                    {
                        Write(inner, nested);
                        WriteVarint(stream, (ulong)inner.Length);
                        inner.WriteTo(stream);
                    }
                    break;
                case 2:
                    WriteVarint(stream, (ulong)field.Bytes!.Length);
                    stream.Write(field.Bytes);
                    break;
                default:
                    for (int i = 0; i < (field.Wire == 1 ? 8 : 4); i++)
                        stream.WriteByte((byte)(field.Value >> (8 * i)));
                    break;
            }
        }
    }

    private static void WriteVarint(MemoryStream stream, ulong value)
    {
        for (; value >= 0x80; value >>= 7)
            stream.WriteByte((byte)(value | 0x80));
        stream.WriteByte((byte)value);
    }

    /// <summary>A field: a number (wire types 0, 1 and 5), bytes, or a message.</summary>
    private sealed record Field(int Number, int Wire, ulong Value, byte[]? Bytes, Field[]? Nested);
}
