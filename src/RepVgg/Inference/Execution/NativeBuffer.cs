using System.Runtime.InteropServices;

namespace RepVgg.Inference.Execution;

/// <summary>Floats in native memory, zeroed and aligned; it takes real memory only where it is touched.</summary>
internal sealed unsafe class NativeBuffer : IDisposable
{
    private const int CacheLine = 64;
    private const int HugePage = 2 << 20;

    private void* _block;

    /// <param name="length">Number of floats.</param>
    public NativeBuffer(long length)
    {
        Length = length;
        nuint bytes = checked((nuint)length * sizeof(float));
        nuint alignment = bytes >= HugePage ? (nuint)HugePage : CacheLine;
        _block = NativeMemory.AllocZeroed(bytes + alignment);
        Pointer = (float*)(((nuint)_block + alignment - 1) & ~(alignment - 1));
        if (bytes >= HugePage)
            HugePages.Advise(Pointer, bytes);
    }

    ~NativeBuffer() => Free();

    public long Length { get; }

    public float* Pointer { get; }

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        NativeMemory.Free(_block);
        _block = null;
    }
}
