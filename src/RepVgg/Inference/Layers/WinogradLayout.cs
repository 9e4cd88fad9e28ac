namespace RepVgg.Inference.Layers;

/// <summary>How a layer's transformed tiles lie in memory, [point][tile][channel], and how they are shared out.</summary>
/// <remarks>
/// Distances are an odd number of cache lines: the points of one tile, and the tiles of one kernel call, would
/// otherwise meet in a few sets of the first-level cache.
/// </remarks>
/// <param name="Tiles">The tiles of the output map.</param>
/// <param name="Channels">Input channels, in whole blocks.</param>
/// <param name="Threads">Threads that will share the work.</param>
internal readonly record struct WinogradLayout(WinogradTiles Tiles, int Channels, int Threads)
{
    /// <summary>Points of a 4x4 tile.</summary>
    public const int Points = 36;

    /// <summary>Tiles of one item at most: their sums should stay in the second-level cache.</summary>
    public const int MaximumChunk = 64;

    // The transformed tiles of a fused chunk should take at most this share of the second-level cache.
    private const int FusedFloats = 76_000;

    // With more channels a chunk that fits is too small to be worth transforming the filters for.
    private const int FusedChannels = 64;

    /// <summary>Floats from one tile to the next.</summary>
    public int TilePitch => (int)OddLines(Channels);

    /// <summary>Floats that one image needs, whatever the batch: the line that makes a pitch odd may be needed by any batch.</summary>
    public long ImageFloats => Points * ((long)Tiles.Count * TilePitch + 16);

    private int FusedChunk => Math.Clamp(FusedFloats / (Points * TilePitch), 1, MaximumChunk);

    /// <summary>
    /// Whether one item transforms a chunk of tiles, multiplies it with all filters and transforms it back, so that the
    /// transformed tiles never leave the cache; otherwise they are shared and an item takes one panel of filters.
    /// </summary>
    public bool IsFused(int images) => Channels <= FusedChannels && images * Tiles.Count >= 2 * Threads * FusedChunk;

    /// <summary>Number of chunks that a batch's tiles are cut into.</summary>
    public int Chunks(int images)
    {
        int most = IsFused(images) ? FusedChunk : MaximumChunk;
        return (images * Tiles.Count + most - 1) / most;
    }

    /// <summary>The tiles of a chunk, as a range of numbers.</summary>
    public (int First, int Last) Chunk(int images, int chunk)
    {
        long tiles = (long)images * Tiles.Count;
        int chunks = Chunks(images);
        return ((int)(tiles * chunk / chunks), (int)(tiles * (chunk + 1) / chunks));
    }

    /// <summary>Floats from one point to the next where <paramref name="tiles"/> lie side by side.</summary>
    public long PointPitch(int tiles) => OddLines((long)tiles * TilePitch);

    /// <summary>Floats that the transformed tiles of a fused chunk need.</summary>
    public long FusedChunkFloats => Channels <= FusedChannels ? Points * PointPitch(FusedChunk) : 0;

    /// <summary>Rounds up to an odd number of cache lines.</summary>
    public static long OddLines(long floats) => ((floats + 15) / 16 | 1) * 16;
}
