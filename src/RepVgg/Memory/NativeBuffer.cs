using System.Runtime.InteropServices;

namespace RepVgg.Memory;

/// <summary>
/// Floats outside the managed heap: zeroed, aligned to a cache line or, where there are many, to large pages. They take
/// real memory only where they are touched.
/// </summary>
internal sealed unsafe class NativeBuffer : IDisposable
{
    /// <summary>Kernels read whole vectors and may read this many floats past the last one they use.</summary>
    public const int Slack = 128;

    private const int CacheLine = 64;
    private const int HugePage = 2 << 20;

    private void* _block;

    /// <param name="length">Number of floats.</param>
    public NativeBuffer(long length)
    {
        Length = length;
        nuint bytes = checked((nuint)(length + Slack) * sizeof(float));
        nuint alignment = bytes >= HugePage ? (nuint)HugePage : CacheLine;
        _block = NativeMemory.AllocZeroed(bytes + alignment);
        Pointer = (float*)(((nuint)_block + alignment - 1) & ~(alignment - 1));
        if (bytes >= HugePage)
            HugePages.Advise(Pointer, bytes);
    }

    ~NativeBuffer() => Free();

    /// <summary>How many floats there are, without the slack.</summary>
    public long Length { get; }

    /// <summary>The first float; null once disposed.</summary>
    public float* Pointer { get; private set; }

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        NativeMemory.Free(_block);
        _block = null;
        Pointer = null;
    }
}
