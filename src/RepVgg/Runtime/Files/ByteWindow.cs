namespace RepVgg.Runtime.Files;

/// <summary>Reads small parts of a source through a buffer, so that parts near each other are read from the file at once.</summary>
/// <param name="source">The source.</param>
internal sealed class ByteWindow(ByteSource source)
{
    /// <summary>Maximum size of a part in bytes.</summary>
    public const int Size = 1 << 13;

    private readonly byte[] _buffer = new byte[Size];
    private long _start;
    private int _count;

    /// <summary>The source.</summary>
    public ByteSource Source => source;

    /// <summary>Reads a byte.</summary>
    /// <exception cref="EndOfStreamException">The position is not within the source.</exception>
    /// <exception cref="IOException">The byte cannot be read, or the file was truncated after it was opened.</exception>
    public byte Byte(long position)
    {
        long at = position - _start;
        return at >= 0 && at < _count ? _buffer[at] : Bytes(position, 1)[0];
    }

    /// <summary>Reads bytes.</summary>
    /// <param name="position">Position of the first byte.</param>
    /// <param name="count">Number of bytes, at most <see cref="Size"/>.</param>
    /// <returns>The bytes, valid until the next call.</returns>
    /// <exception cref="EndOfStreamException">The bytes are not all within the source.</exception>
    /// <exception cref="IOException">The bytes cannot be read, or the file was truncated after it was opened.</exception>
    public ReadOnlySpan<byte> Bytes(long position, int count)
    {
        long at = position - _start;
        if (at < 0 || at > _count - count)
        {
            int available = (int)Math.Clamp(source.Length - position, count, Size);
            _count = 0;
            source.Read(position, _buffer.AsSpan(0, available));
            (_start, _count, at) = (position, available, 0);
        }
        return _buffer.AsSpan((int)at, count);
    }
}
