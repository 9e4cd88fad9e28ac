using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Runtime.Memory;

namespace RepVgg.Backends.Cpu.Execution;

/// <summary>
/// A buffer from the pool, stored as [chunk][length]; most hold the partial sums of the chunks of a batch. Sums over the chunks
/// are added in the order of the chunks, so that results do not depend on the number of threads.
/// </summary>
internal sealed unsafe class ChunkedBuffer : IDisposable
{
    private readonly BufferPool _pool;
    private readonly NativeBuffer? _buffer;
    private readonly int _chunks;
    private readonly long _length;

    public ChunkedBuffer(BufferPool pool, int chunks, long length)
    {
        _pool = pool;
        _chunks = chunks;
        _length = length;
        _buffer = length > 0 ? pool.Rent(length * chunks) : null;
    }

    public float* this[int chunk] => _buffer is null ? null : _buffer.Pointer + chunk * _length;

    public void Clear(int chunk)
    {
        if (_buffer is not null)
            new Span<float>(this[chunk], (int)_length).Clear();
    }

    /// <summary>Adds the sums of all chunks to those of the first chunk, in the order of the chunks.</summary>
    public void SumChunks(CpuContext context)
    {
        float* first = this[0];
        Elementwise.Run(context.Loop, _length, (start, count) =>
        {
            for (int chunk = 1; chunk < _chunks; chunk++)
                Elementwise.Add(first + start, this[chunk] + start, first + start, count);
        });
    }

    /// <summary>Returns element i, summed over all chunks.</summary>
    public double Total(long i)
    {
        double sum = 0;
        for (int chunk = 0; chunk < _chunks; chunk++)
            sum += this[chunk][i];
        return sum;
    }

    /// <summary>Writes the totals to the gradient of a tensor, or adds them to an existing gradient.</summary>
    public void SumInto(CpuTensor tensor)
    {
        float* gradient = tensor.GradientForWriting(out bool accumulate);
        for (long i = 0; i < tensor.Count; i++)
            gradient[i] = (float)(Total(i) + (accumulate ? gradient[i] : 0));
    }

    public void Dispose()
    {
        if (_buffer is not null)
            _pool.Return(_buffer);
    }
}
