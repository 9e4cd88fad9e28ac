using System.Numerics;
using RepVgg.Memory;

namespace RepVgg.Backends.Cpu.Memory;

/// <summary>Keeps returned buffers for the next request of the same size, so that steps allocate nothing once they repeat.</summary>
internal sealed class BufferPool : IDisposable
{
    private readonly Dictionary<long, Stack<NativeBuffer>> _free = [];

    /// <summary>Bytes taken from the system, in use or waiting.</summary>
    public long BytesHeld { get; private set; }

    /// <summary>A buffer of at least that many floats, with old values in it.</summary>
    public NativeBuffer Rent(long length)
    {
        long size = SizeClass(length);
        if (_free.TryGetValue(size, out var waiting) && waiting.TryPop(out var buffer))
            return buffer;
        BytesHeld += size * sizeof(float);
        return new NativeBuffer(size);
    }

    public void Return(NativeBuffer buffer)
    {
        if (!_free.TryGetValue(buffer.Length, out var waiting))
            _free[buffer.Length] = waiting = new Stack<NativeBuffer>();
        waiting.Push(buffer);
    }

    public void Dispose()
    {
        foreach (var buffer in _free.Values.SelectMany(waiting => waiting))
        {
            BytesHeld -= buffer.Length * sizeof(float);
            buffer.Dispose();
        }
        _free.Clear();
    }

    /// <summary>Rounds up to one of eight steps between powers of two: at most an eighth is wasted.</summary>
    private static long SizeClass(long length)
    {
        if (length <= 128)
            return 128;
        long step = 1L << (BitOperations.Log2((ulong)(length - 1)) - 3);
        return (length + step - 1) / step * step;
    }
}
