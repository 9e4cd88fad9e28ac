using System.Numerics;
using RepVgg.Runtime.Memory;

namespace RepVgg.Backends.Cpu.Execution;

/// <summary>A pool that reuses returned buffers for later requests of the same size class, so that repeated steps of equal shapes allocate no buffers.</summary>
internal sealed class BufferPool : IDisposable
{
    private readonly Dictionary<long, Stack<NativeBuffer>> _free = [];

    /// <summary>Bytes allocated from the system, for buffers in use and buffers in the pool.</summary>
    public long AllocatedBytes { get; private set; }

    /// <summary>Returns a buffer of at least <paramref name="length"/> floats. Its values are not initialised.</summary>
    public NativeBuffer Rent(long length)
    {
        long size = SizeClass(length);
        if (_free.TryGetValue(size, out var buffers) && buffers.TryPop(out var buffer))
            return buffer;
        AllocatedBytes += size * sizeof(float);
        return new NativeBuffer(size);
    }

    public void Return(NativeBuffer buffer)
    {
        if (!_free.TryGetValue(buffer.Length, out var buffers))
            _free[buffer.Length] = buffers = new Stack<NativeBuffer>();
        buffers.Push(buffer);
    }

    /// <summary>Releases the buffers that are not in use.</summary>
    public void Dispose() => Trim();

    /// <summary>Releases the buffers that are not in use. The pool can be used afterwards.</summary>
    public void Trim()
    {
        foreach (var buffer in _free.Values.SelectMany(buffers => buffers))
        {
            AllocatedBytes -= buffer.Length * sizeof(float);
            buffer.Dispose();
        }
        _free.Clear();
    }

    /// <summary>
    /// Rounds a length up to one of eight sizes per power of two, so that above the minimum of 128 floats a buffer is at
    /// most one eighth larger than requested.
    /// </summary>
    private static long SizeClass(long length)
    {
        if (length <= 128)
            return 128;
        long step = 1L << (BitOperations.Log2((ulong)(length - 1)) - 3);
        return (length + step - 1) / step * step;
    }
}
