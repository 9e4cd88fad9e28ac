#nullable enable
namespace Microsoft.ML.Standin.Images;

/// <summary>The bodies of a PNG file's IDAT chunks, read as one stream.</summary>
internal sealed class PngDataStream(byte[] data, List<Range> parts) : Stream
{
    private int _part;
    private int _offset;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override int Read(Span<byte> buffer)
    {
        while (_part < parts.Count)
        {
            (int start, int length) = parts[_part].GetOffsetAndLength(data.Length);
            int count = Math.Min(buffer.Length, length - _offset);
            if (count > 0 || buffer.Length == 0)
            {
                data.AsSpan(start + _offset, count).CopyTo(buffer);
                _offset += count;
                return count;
            }
            _part++;
            _offset = 0;
        }
        return 0;
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
