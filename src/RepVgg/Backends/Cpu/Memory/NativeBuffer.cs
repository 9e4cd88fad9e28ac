using System.Runtime.InteropServices;

namespace RepVgg.Backends.Cpu.Memory;

/// <summary>Floats outside the managed heap, aligned to a cache line.</summary>
internal sealed unsafe class NativeBuffer : IDisposable
{
    /// <summary>Kernels read whole vectors and may read this many floats past the last one they use.</summary>
    public const int Slack = 128;

    public NativeBuffer(long length)
    {
        Length = length;
        Pointer = (float*)NativeMemory.AlignedAlloc((nuint)(length + Slack) * sizeof(float), 64);
        new Span<float>(Pointer + length, Slack).Clear();
    }

    ~NativeBuffer() => Free();

    /// <summary>The first float; null once disposed.</summary>
    public float* Pointer { get; private set; }

    /// <summary>How many floats there are, without the slack.</summary>
    public long Length { get; }

    public void Clear() => NativeMemory.Clear(Pointer, (nuint)Length * sizeof(float));

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        NativeMemory.AlignedFree(Pointer);
        Pointer = null;
    }
}
