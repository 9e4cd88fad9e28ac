using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Text;

namespace RepVgg.Weights.Onnx;

/// <summary>Builds a protocol-buffer message. Tensor values are written directly to the output stream and not copied into the message.</summary>
/// <remarks>Source: the Protocol Buffers encoding specification, wire types 0 (varint), 1 (64 bits), 2 (length-delimited) and 5 (32 bits).</remarks>
internal sealed class ProtoMessage
{
    private readonly List<Action<Stream>> _blobs = [];
    private readonly List<long> _blobStarts = [];
    private readonly MemoryStream _bytes = new();
    private long _blobLength;

    /// <summary>Encoded size in bytes.</summary>
    public long Length => _bytes.Length + _blobLength;

    public void Integer(int field, long value)
    {
        Tag(field, 0);
        Varint((ulong)value);
    }

    public void Double(int field, double value)
    {
        Tag(field, 1);
        Span<byte> bytes = stackalloc byte[sizeof(double)];
        BinaryPrimitives.WriteDoubleLittleEndian(bytes, value);
        _bytes.Write(bytes);
    }

    public void Single(int field, float value)
    {
        Tag(field, 5);
        Span<byte> bytes = stackalloc byte[sizeof(float)];
        BinaryPrimitives.WriteSingleLittleEndian(bytes, value);
        _bytes.Write(bytes);
    }

    public void Text(int field, string value) => Bytes(field, Encoding.UTF8.GetBytes(value));

    public void Message(int field, ProtoMessage message)
    {
        Tag(field, 2);
        Varint((ulong)message.Length);
        long at = 0;
        byte[] bytes = message._bytes.GetBuffer();
        for (int i = 0; i < message._blobs.Count; i++)
        {
            _bytes.Write(bytes, (int)at, (int)(message._blobStarts[i] - at));
            at = message._blobStarts[i];
            _blobs.Add(message._blobs[i]);
            _blobStarts.Add(_bytes.Length);
        }
        _bytes.Write(bytes, (int)at, (int)(message._bytes.Length - at));
        _blobLength += message._blobLength;
    }

    /// <summary>Adds a field of little-endian numbers.</summary>
    public unsafe void Values<T>(int field, ImmutableArray<T> values)
        where T : unmanaged =>
        Blob(field, (long)values.Length * sizeof(T), stream => stream.Write(MemoryMarshal.AsBytes(values.AsSpan())));

    /// <summary>Adds a field of little-endian 16-bit floats.</summary>
    public void Halves(int field, ImmutableArray<float> values) => Blob(field, (long)values.Length * 2, stream =>
    {
        var halves = new Half[4096];
        for (int at = 0; at < values.Length; at += halves.Length)
        {
            int count = Math.Min(halves.Length, values.Length - at);
            for (int i = 0; i < count; i++)
                halves[i] = (Half)values[at + i];
            stream.Write(MemoryMarshal.AsBytes(halves.AsSpan(0, count)));
        }
    });

    public void WriteTo(Stream stream)
    {
        long at = 0;
        byte[] bytes = _bytes.GetBuffer();
        for (int i = 0; i < _blobs.Count; i++)
        {
            stream.Write(bytes, (int)at, (int)(_blobStarts[i] - at));
            at = _blobStarts[i];
            _blobs[i](stream);
        }
        stream.Write(bytes, (int)at, (int)(_bytes.Length - at));
    }

    private void Blob(int field, long length, Action<Stream> write)
    {
        Tag(field, 2);
        Varint((ulong)length);
        _blobs.Add(write);
        _blobStarts.Add(_bytes.Length);
        _blobLength += length;
    }

    private void Bytes(int field, byte[] value)
    {
        Tag(field, 2);
        Varint((ulong)value.Length);
        _bytes.Write(value);
    }

    private void Tag(int field, int wireType) => Varint((ulong)(field << 3 | wireType));

    private void Varint(ulong value)
    {
        for (; value >= 0x80; value >>= 7)
            _bytes.WriteByte((byte)(value | 0x80));
        _bytes.WriteByte((byte)value);
    }
}
