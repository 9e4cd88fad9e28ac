using RepVgg.Memory;

namespace RepVgg.Inference.Execution;

/// <summary>Fills a part of a network's memory with weights.</summary>
/// <param name="room">The thread's own memory for what it reads; it may grow.</param>
internal delegate void Filler(ref float[] room);

/// <summary>A network's weights side by side in a few large buffers, freed together.</summary>
internal sealed unsafe class NativeArena : IDisposable
{
    private const long ChunkFloats = 4 << 20;
    private const int LineFloats = 16;

    private readonly List<NativeBuffer> _chunks = [];
    private long _used = ChunkFloats;

    /// <summary>What fills the memory with weights: parts that may run in any order, and at once.</summary>
    public List<Filler> Filling { get; } = [];

    /// <summary>Zeroed floats that live until the arena is disposed, aligned to a cache line.</summary>
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
