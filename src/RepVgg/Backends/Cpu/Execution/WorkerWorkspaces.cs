using RepVgg.Runtime.Memory;

namespace RepVgg.Backends.Cpu.Execution;

/// <summary>A workspace for the duration of an operation, with a separate part for each worker thread.</summary>
internal sealed unsafe class WorkerWorkspaces : IDisposable
{
    private readonly BufferPool _pool;
    private readonly NativeBuffer? _buffer;
    private readonly long _stride;

    public WorkerWorkspaces(CpuContext context, long length)
    {
        _pool = context.Pool;
        _stride = (length + NativeBuffer.EndPadding + 15) / 16 * 16;
        _buffer = length > 0 ? _pool.Rent(_stride * context.Threads) : null;
    }

    /// <summary>The part of a worker thread; null if the requested length is 0.</summary>
    public float* this[int worker] => _buffer is null ? null : _buffer.Pointer + worker * _stride;

    public void Dispose()
    {
        if (_buffer is not null)
            _pool.Return(_buffer);
    }
}
