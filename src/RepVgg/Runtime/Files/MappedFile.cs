using System.Buffers;
using System.IO.MemoryMappedFiles;
using Microsoft.Win32.SafeHandles;

namespace RepVgg.Runtime.Files;

/// <summary>
/// A read-only memory-mapped file. Pages are loaded when they are first accessed, which is efficient for reading small parts
/// of the file. <see cref="Read"/> is faster for large parts that are read once, and maps no pages into the process.
/// </summary>
internal sealed unsafe class MappedFile : MemoryManager<byte>
{
    private readonly SafeFileHandle _file;
    private readonly MemoryMappedFile? _map;
    private readonly MemoryMappedViewAccessor? _view;
    private readonly int _length;
    private byte* _start;

    /// <param name="path">Path of the file, which has at most <see cref="int.MaxValue"/> bytes.</param>
    /// <exception cref="InvalidDataException">The file is larger.</exception>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public MappedFile(string path)
    {
        _file = InputFile.OpenHandle(path);
        try
        {
            long length = RandomAccess.GetLength(_file);
            if (length > int.MaxValue)
                throw new InvalidDataException($"'{path}' has {length} bytes, more than {int.MaxValue}.");
            _length = (int)length;
            if (_length == 0)
                return; // an empty file cannot be mapped
            _map = MemoryMappedFile.CreateFromFile(_file, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
            _view = _map.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
            byte* start = null;
            _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
            _start = start + _view.PointerOffset;
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public override Span<byte> GetSpan()
    {
        ObjectDisposedException.ThrowIf(_start is null && _length > 0, this);
        return new Span<byte>(_start, _length);
    }

    public override MemoryHandle Pin(int elementIndex = 0) => new(_start + elementIndex);

    public override void Unpin()
    {
    }

    /// <summary>Reads a part of the file without accessing the mapped pages.</summary>
    /// <param name="part">The part to read, as a slice of the mapped memory.</param>
    /// <param name="target">Receives the bytes; has the length of <paramref name="part"/>.</param>
    /// <exception cref="InvalidDataException">The file was truncated after it was opened.</exception>
    public void Read(ReadOnlySpan<byte> part, Span<byte> target)
    {
        long position;
        fixed (byte* first = part)
            position = first - _start;
        while (!target.IsEmpty)
        {
            int count = RandomAccess.Read(_file, target, position);
            if (count == 0)
                throw new InvalidDataException("it ends early");
            target = target[count..];
            position += count;
        }
    }

    public void Dispose() => ((IDisposable)this).Dispose();

    protected override void Dispose(bool disposing)
    {
        if (_start is not null)
            _view!.SafeMemoryMappedViewHandle.ReleasePointer();
        _start = null;
        _view?.Dispose();
        _map?.Dispose();
        _file.Dispose();
    }
}
