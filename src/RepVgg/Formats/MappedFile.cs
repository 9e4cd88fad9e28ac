using System.Buffers;
using System.IO.MemoryMappedFiles;
using Microsoft.Win32.SafeHandles;

namespace RepVgg.Formats;

/// <summary>
/// A file's content as memory. Pages come from the system's cache when they are touched, which is best for looking here
/// and there; <see cref="Read"/> is cheaper where much is read once, and keeps no pages in the process.
/// </summary>
internal sealed unsafe class MappedFile : MemoryManager<byte>
{
    private readonly SafeFileHandle _file;
    private readonly MemoryMappedFile? _map;
    private readonly MemoryMappedViewAccessor? _view;
    private readonly int _length;
    private byte* _start;

    /// <param name="path">The file, of at most 2 GiB.</param>
    /// <exception cref="InvalidDataException">The file is larger.</exception>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public MappedFile(string path)
    {
        _file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read);
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

    /// <summary>Reads a part of the file without touching its pages.</summary>
    /// <param name="part">A part of this memory.</param>
    /// <param name="target">Receives it; as long.</param>
    /// <exception cref="InvalidDataException">The file has become shorter.</exception>
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
