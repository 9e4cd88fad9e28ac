using System.Buffers;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;

namespace RepVgg.Formats;

/// <summary>A file's content as memory: pages come from the system's cache when they are read, without a copy.</summary>
internal sealed unsafe partial class MappedFile : MemoryManager<byte>
{
    private const int MadviseDontNeed = 4;

    private readonly MemoryMappedFile? _map;
    private readonly MemoryMappedViewAccessor? _view;
    private readonly int _length;
    private byte* _start;

    /// <param name="path">The file, of at most 2 GiB.</param>
    /// <exception cref="InvalidDataException">The file is larger.</exception>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public MappedFile(string path)
    {
        using var file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        long length = RandomAccess.GetLength(file);
        if (length > int.MaxValue)
            throw new InvalidDataException($"'{path}' has {length} bytes, more than {int.MaxValue}.");
        _length = (int)length;
        if (_length == 0)
            return; // an empty file cannot be mapped
        _map = MemoryMappedFile.CreateFromFile(file, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
        _view = _map.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        byte* start = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        _start = start + _view.PointerOffset;
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

    /// <summary>Takes pages that were read out of the process's resident memory; reading them again is as good as before.</summary>
    /// <param name="part">A part of this file.</param>
    public void Forget(ReadOnlySpan<byte> part)
    {
        if (!OperatingSystem.IsLinux())
            return;
        nuint page = (nuint)Environment.SystemPageSize;
        fixed (byte* first = part)
        {
            nuint from = (nuint)first / page * page, to = ((nuint)first + (nuint)part.Length) / page * page;
            // The result says only whether the advice was taken.
            if (to > from)
                _ = Madvise((void*)from, to - from, MadviseDontNeed);
        }
    }

    public void Dispose() => ((IDisposable)this).Dispose();

    protected override void Dispose(bool disposing)
    {
        if (_start is null)
            return;
        _start = null;
        _view!.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _map!.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Madvise(void* start, nuint bytes, int advice);
}
