namespace RepVgg.Runtime.Memory;

/// <summary>
/// A zeroed array of floats in native memory. It is aligned to a cache line (64 bytes) or, from 2 MiB on, to a huge page
/// (2 MiB). The operating system commits physical memory only for pages that are accessed.
/// </summary>
/// <remarks>
/// The garbage collector is told the size, so that it collects buffers that nobody disposes in time. Code that uses
/// <see cref="Pointer"/> must keep the buffer referenced.
/// </remarks>
internal sealed unsafe class NativeBuffer : IDisposable
{
    /// <summary>Extra floats allocated after the last element: kernels read whole vectors and may read past the end.</summary>
    public const int EndPadding = 128;

    private const int CacheLine = 64;
    private const int HugePage = 2 << 20;

    private static long _bytesInUse;

    private readonly nuint _bytes;
    private void* _block;

    /// <param name="length">Number of floats.</param>
    public NativeBuffer(long length)
    {
        Length = length;
        nuint bytes = checked((nuint)(length + EndPadding) * sizeof(float));
        nuint alignment = bytes >= HugePage ? (nuint)HugePage : CacheLine;
        _bytes = bytes + alignment;
        _block = SystemMemory.Allocate(_bytes);
        GC.AddMemoryPressure((long)_bytes);
        Interlocked.Add(ref _bytesInUse, (long)_bytes);
        Pointer = (float*)(((nuint)_block + alignment - 1) & ~(alignment - 1));
        if (bytes >= HugePage)
            SystemMemory.AdviseHugePages(Pointer, bytes);
    }

    ~NativeBuffer() => Free();

    /// <summary>Memory of all buffers in the process that have not been freed, in bytes.</summary>
    public static long BytesInUse => Interlocked.Read(ref _bytesInUse);

    /// <summary>Number of floats, without <see cref="EndPadding"/>.</summary>
    public long Length { get; }

    /// <summary>Address of the first float; null after disposal.</summary>
    public float* Pointer { get; private set; }

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        if (_block is null)
            return;
        SystemMemory.Free(_block, _bytes);
        GC.RemoveMemoryPressure((long)_bytes);
        Interlocked.Add(ref _bytesInUse, -(long)_bytes);
        _block = null;
        Pointer = null;
    }
}
