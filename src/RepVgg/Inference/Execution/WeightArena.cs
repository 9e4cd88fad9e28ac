using RepVgg.Runtime.Memory;

namespace RepVgg.Inference.Execution;

/// <summary>Reads a part of a network's weights and packs them into native memory.</summary>
/// <param name="readBuffer">Private read buffer of the calling thread; it is replaced by a larger array if needed.</param>
internal delegate void WeightPacker(ref float[] readBuffer);

/// <summary>Allocates the memory for a network's weights from a few large native buffers, which are freed together.</summary>
internal sealed unsafe class WeightArena : IDisposable
{
    private const long ChunkFloats = 4 << 20;
    private const int LineFloats = 16;

    private readonly List<NativeBuffer> _chunks = [];
    private long _used = ChunkFloats;

    /// <summary>Delegates that pack the weights into the allocated memory. They may run in any order and concurrently.</summary>
    public List<WeightPacker> Packers { get; } = [];

    /// <summary>Allocates zeroed floats, aligned to a cache line. They are valid until the arena is disposed.</summary>
    public float* Allocate(long floats)
    {
        if (_chunks.Count == 0 || _used + floats > _chunks[^1].Length)
        {
            _chunks.Add(new NativeBuffer(Math.Max(floats, ChunkFloats)));
            _used = 0;
        }
        float* start = _chunks[^1].Pointer + _used;
        _used += (floats + LineFloats - 1) / LineFloats * LineFloats;
        return start;
    }

    public void Dispose()
    {
        foreach (var chunk in _chunks)
            chunk.Dispose();
    }
}
