namespace RepVgg.Runtime.Files;

/// <summary>The content of a file that is being written. A file that becomes too large is an <see cref="IOException"/>, for which .NET throws the exception of an invalid argument.</summary>
/// <param name="file">The file, without a buffer. Its owner closes it.</param>
internal sealed class OutputStream(FileStream file) : Stream
{
    public override bool CanRead => true;

    public override bool CanSeek => true;

    public override bool CanWrite => true;

    public override long Length => file.Length;

    public override long Position
    {
        get => file.Position;
        set => file.Position = value;
    }

    public override int Read(byte[] buffer, int offset, int count) => file.Read(buffer, offset, count);

    public override int Read(Span<byte> buffer) => file.Read(buffer);

    public override long Seek(long offset, SeekOrigin origin) => file.Seek(offset, origin);

    public override void SetLength(long value)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(value);
        try
        {
            file.SetLength(value);
        }
        catch (ArgumentOutOfRangeException error) when (WriteErrors.IsTooLarge(error))
        {
            throw WriteErrors.TooLarge(error);
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        try
        {
            file.Write(buffer);
        }
        catch (ArgumentOutOfRangeException error) when (WriteErrors.IsTooLarge(error))
        {
            throw WriteErrors.TooLarge(error);
        }
    }

    public override void Flush()
    {
    }
}
