using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace RepVgg.Runtime.Files;

/// <summary>The bytes of an open file or of a stream, which are read by their position.</summary>
/// <remarks>
/// Files are not mapped into memory, because an access to a page behind the end of a file that another program has truncated ends the
/// process. Several threads can read a file at the same time, but not a stream. A change of the content is noticed by the length or by the time of
/// the last write. It is not noticed if a program writes through a mapping of its own, sets the time back, or pauses between two writes for longer than the
/// reading takes, nor if the time stamp is in the future when the file is opened.
/// </remarks>
internal sealed class ByteSource : IDisposable
{
    // Systems round the time of a write, so that two writes can have the same time stamp; and it is the time at which a write begins, which then takes a
    // while for every mebibyte.
    private const double TimeStepMilliseconds = 20, WriteMillisecondsPerMebibyte = 1, LongestMilliseconds = 100;

    private readonly SafeFileHandle? _file;
    private readonly Stream? _stream;
    private readonly DateTime _written;
    private readonly List<ByteSource> _companions = [];

    /// <summary>Opens a file.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    private ByteSource(string path)
    {
        (Path, Name) = (path, $"'{path}'");
        _file = InputFile.OpenHandle(path);
        try
        {
            Length = RandomAccess.GetLength(_file);
            _written = File.GetLastWriteTimeUtc(_file);
            // The last write must have ended, and any other must change the time stamp.
            double age = (DateTime.UtcNow - _written).TotalMilliseconds, needed = Math.Min(TimeStepMilliseconds + WriteMillisecondsPerMebibyte * Length / (1 << 20), LongestMilliseconds);
            if (age >= 0 && age < needed)
                Thread.Sleep((int)Math.Ceiling(needed - age));
        }
        catch
        {
            _file.Dispose();
            throw;
        }
    }

    private ByteSource(Stream stream) => (Path, Name, Length, _stream) = ("", "The stream", stream.Length, stream);

    /// <summary>Path of the file; empty for a stream.</summary>
    public string Path { get; }

    /// <summary>Name in messages: the path in quotation marks, or "The stream".</summary>
    public string Name { get; }

    /// <summary>Number of bytes when the source was created.</summary>
    public long Length { get; }

    /// <summary>All bytes.</summary>
    public ByteSlice All => new(this, 0, Length);

    /// <summary>Opens a file, reads from it and closes it, with the check of <see cref="Close"/>. Everything must be read when the function returns.</summary>
    /// <param name="path">The file.</param>
    /// <param name="read">Reads from the file. Its result is disposed if the check fails.</param>
    /// <exception cref="IOException">The file cannot be opened, or was changed while it was read.</exception>
    public static T Use<T>(string path, Func<ByteSource, T> read)
    {
        using var file = new ByteSource(path);
        T result;
        try
        {
            result = read(file);
        }
        catch (Exception error)
        {
            // What seems to be damaged may be parts of two contents.
            file.CheckAndClose(error);
            throw;
        }
        try
        {
            file.Close();
        }
        catch
        {
            (result as IDisposable)?.Dispose();
            throw;
        }
        return result;
    }

    /// <summary>Gets the content of a stream: the stream itself, which must stay open, or a copy if it cannot seek or is not at position 0.</summary>
    public static ByteSource Of(Stream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        return stream.CanSeek && stream.Position == 0 ? new ByteSource(stream) : Copy(stream);
    }

    /// <summary>Copies a stream to memory, from its position to its end.</summary>
    public static ByteSource Copy(Stream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        var copy = new MemoryStream(stream.CanSeek ? (int)Math.Clamp(stream.Length - stream.Position, 0, Array.MaxLength) : 0);
        stream.CopyTo(copy);
        return new ByteSource(copy);
    }

    /// <summary>Opens another file that belongs to this one. It is checked and closed together with this one.</summary>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public ByteSource OpenCompanion(string path)
    {
        var companion = new ByteSource(path);
        _companions.Add(companion);
        return companion;
    }

    /// <summary>Reads bytes.</summary>
    /// <param name="position">Position of the first byte.</param>
    /// <param name="bytes">Receives the bytes.</param>
    /// <exception cref="EndOfStreamException">The bytes are not all within the source.</exception>
    /// <exception cref="IOException">The bytes cannot be read, or the file was truncated after it was opened.</exception>
    public void Read(long position, Span<byte> bytes)
    {
        if (position < 0 || bytes.Length > Length - position)
            throw new EndOfStreamException("it ends early");
        if (_stream is not null)
        {
            _stream.Position = position;
            _stream.ReadExactly(bytes);
            return;
        }
        while (!bytes.IsEmpty)
        {
            int count = RandomAccess.Read(_file!, bytes, position);
            if (count == 0)
                throw Changed(null);
            bytes = bytes[count..];
            position += count;
        }
    }

    /// <summary>Reads bytes to a new array. The length is checked before the array is allocated.</summary>
    /// <exception cref="EndOfStreamException">The bytes are not all within the source.</exception>
    /// <exception cref="IOException">The bytes cannot be read, or the file was truncated after it was opened.</exception>
    public byte[] Read(long position, int length) => Read<byte>(position, length);

    /// <summary>Reads bytes to a new array of bytes or signed bytes. The length is checked before the array is allocated.</summary>
    /// <exception cref="EndOfStreamException">The bytes are not all within the source.</exception>
    /// <exception cref="IOException">The bytes cannot be read, or the file was truncated after it was opened.</exception>
    public T[] Read<T>(long position, int length)
        where T : struct
    {
        if (position < 0 || length < 0 || length > Length - position)
            throw new EndOfStreamException("it ends early");
        var bytes = new T[length];
        Read(position, MemoryMarshal.AsBytes(bytes.AsSpan()));
        return bytes;
    }

    /// <summary>Checks that the file and its companions still have the length and the time stamp that they had when they were opened, and closes them.</summary>
    /// <exception cref="IOException">One of the files was changed.</exception>
    public void Close() => CheckAndClose(null);

    public void Dispose()
    {
        _file?.Dispose();
        foreach (var companion in _companions)
            companion.Dispose();
    }

    private void CheckAndClose(Exception? error)
    {
        if (_file is null or { IsClosed: true })
            return;
        using var closed = this;
        if (!IsUnchanged(_file))
            throw Changed(error);
        foreach (var companion in _companions)
        {
            if (!companion.IsUnchanged(companion._file!) || !companion.IsAtItsPath())
                throw companion.Changed(error);
        }
        // A single file may be replaced while the old one is read. Files that belong together could then be of two models.
        if (_companions.Count > 0 && !IsAtItsPath())
            throw Changed(error);
    }

    private bool IsUnchanged(SafeFileHandle file) => RandomAccess.GetLength(file) == Length && File.GetLastWriteTimeUtc(file) == _written;

    /// <summary>Whether the path still leads to the file that was opened.</summary>
    private bool IsAtItsPath()
    {
        try
        {
            using var current = InputFile.OpenHandle(Path);
            return IsUnchanged(current);
        }
        catch (IOException)
        {
            return false;
        }
    }

    private IOException Changed(Exception? error) => new($"{Name} was changed while it was read. Read it again when the program that writes it has finished.", error);
}

/// <summary>Reads a <see cref="ByteSource"/> as a stream. The source stays open when the stream is closed.</summary>
internal sealed class ByteSourceStream(ByteSource source) : Stream
{
    private long _position;

    public override bool CanRead => true;

    public override bool CanSeek => true;

    public override bool CanWrite => false;

    public override long Length => source.Length;

    public override long Position
    {
        get => _position;
        set => _position = value >= 0 ? value : throw new IOException("A position in a stream cannot be negative.");
    }

    public override int Read(Span<byte> buffer)
    {
        int count = (int)Math.Clamp(source.Length - _position, 0, buffer.Length);
        if (count > 0)
            source.Read(_position, buffer[..count]);
        _position += count;
        return count;
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override long Seek(long offset, SeekOrigin origin) => Position = offset + origin switch
    {
        SeekOrigin.Begin => 0,
        SeekOrigin.Current => _position,
        _ => source.Length,
    };

    public override void Flush()
    {
    }

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}

/// <summary>A part of a <see cref="ByteSource"/>, which is read when it is used.</summary>
/// <param name="Source">The source.</param>
/// <param name="Start">Position of the first byte in the source.</param>
/// <param name="Length">Number of bytes. All of them are within the source.</param>
internal readonly record struct ByteSlice(ByteSource Source, long Start, long Length);
