using RepVgg.Memory;

namespace RepVgg.Backends.Cpu.Memory;

/// <summary>Scratch memory for the duration of an operation, a piece for each worker.</summary>
internal sealed unsafe class WorkerScratch : IDisposable
{
    private readonly BufferPool _pool;
    private readonly NativeBuffer? _buffer;
    private readonly long _stride;

    public WorkerScratch(CpuBackend backend, long length)
    {
        _pool = backend.Pool;
        _stride = (length + NativeBuffer.Slack + 15) / 16 * 16;
        _buffer = length > 0 ? _pool.Rent(_stride * backend.Threads) : null;
    }

    /// <summary>The worker's piece; null if none was asked for.</summary>
    public float* this[int worker] => _buffer is null ? null : _buffer.Pointer + worker * _stride;

    public void Dispose()
    {
        if (_buffer is not null)
            _pool.Return(_buffer);
    }
}
