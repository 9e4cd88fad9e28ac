using RepVgg.Architectures;
using RepVgg.Inference.Execution;

namespace RepVgg.Inference.Layers;

/// <summary>How a layer's tiles are cut into chunks, and how the work on them is shared out.</summary>
/// <param name="Rows">The output's rows.</param>
/// <param name="Columns">The output's columns.</param>
/// <param name="Blocks">Channel blocks of the input.</param>
/// <param name="Lanes">Channels of one block.</param>
/// <param name="Threads">Threads that will share the work.</param>
internal readonly unsafe record struct WinogradLayout(WinogradAxis Rows, WinogradAxis Columns, int Blocks, int Lanes, int Threads)
{
    // More tiles make better use of a transformed filter; fewer stay in the second-level cache.
    private const int MaximumTiles = 64;

    // Tiles of an image that are few, and floats of transformed filters that are not too many: in general, and then.
    private const int FewTiles = 4;
    private const int SmallFilters = 40_000;
    private const int SmallFiltersOfFewTiles = 600_000;

    /// <summary>
    /// Whether filters should be held wholly transformed, at twice the memory: where an image has so few tiles that
    /// transforming the filters costs as much as multiplying them, or all of them stay in the second-level cache.
    /// </summary>
    public bool PrefersTransformedFilters(BlockSpec shape)
    {
        long floats = (long)WinogradChunk.Points * shape.InputChannels / shape.Groups * shape.OutputChannels;
        return floats <= (ImageTiles <= FewTiles ? SmallFiltersOfFewTiles : SmallFilters);
    }

    private int ImageTiles => Rows.Tiles * Columns.Tiles;

    /// <summary>
    /// Whether one item transforms a chunk of tiles, multiplies it with all filters and transforms it back; otherwise
    /// there are too few chunks for the threads, the transformed tiles are shared, and an item takes one panel of filters.
    /// </summary>
    public bool IsFused(int images) => Chunks(images) >= Threads;

    /// <summary>Number of chunks that a batch's tiles are cut into.</summary>
    public int Chunks(int images)
    {
        int together = ImagesTogether(images);
        return together > 1 ? (images + together - 1) / together : images * Parts.Count;
    }

    /// <summary>The chunk with a number.</summary>
    public WinogradChunk Chunk(int images, int index)
    {
        int together = ImagesTogether(images);
        if (together > 1)
        {
            int first = index * together;
            return new(Rows, Columns, first, Math.Min(together, images - first), 0, Rows.Tiles);
        }
        var parts = Parts;
        (int image, int part) = Math.DivRem(index, parts.Count);
        return new(Rows, Columns, image, 1, parts.First(part), parts.First(part + 1));
    }

    /// <summary>Number of the chunk that a row of tiles belongs to.</summary>
    public int ChunkOf(int images, int image, int tileRow)
    {
        int together = ImagesTogether(images);
        return together > 1 ? image / together : image * Parts.Count + Parts.PartOf(tileRow);
    }

    /// <summary>Floats from one chunk's transformed tiles to the next one's.</summary>
    public long ChunkFloats(int images) => FloatsOf(Chunk(images, 0), Blocks, Lanes);

    /// <summary>Floats of one image's transformed tiles, whatever the batch.</summary>
    public long ImageFloats => ChunkFloats(1) * Chunks(1);

    /// <summary>Floats of the transformed tiles of the largest chunk.</summary>
    public long LargestChunkFloats => FloatsOf(Chunk(int.MaxValue / 2, 0), Blocks, Lanes);

    /// <summary>Floats of the sums of the largest chunk.</summary>
    /// <param name="pitch">Floats of one tile's sums at one point.</param>
    public long LargestSumsFloats(int pitch) => FloatsOf(Chunk(int.MaxValue / 2, 0), 1, pitch);

    private static long FloatsOf(in WinogradChunk chunk, int blocks, int pitch)
    {
        nint* offsets = stackalloc nint[WinogradChunk.Points], blockPitches = stackalloc nint[WinogradAxis.Points];
        return chunk.Lay(blocks, pitch, offsets, blockPitches);
    }

    private EvenParts Parts => new(Rows.Tiles, MaximumTiles / Columns.Tiles, Threads);

    // No more than leaves every thread a chunk.
    private int ImagesTogether(int images) =>
        Parts.Count > 1 ? 1 : Math.Clamp((images + Threads - 1) / Threads, 1, Math.Max(1, MaximumTiles / ImageTiles));
}
