using RepVgg.Inference.Execution;

namespace RepVgg.Inference.Layers;

/// <summary>The division of the tiles of some images into chunks, and the distribution of the work to threads.</summary>
/// <param name="Layout">Tiles and channels of the layer.</param>
/// <param name="Images">Number of images.</param>
/// <param name="Threads">Maximum number of threads that share the work.</param>
internal readonly record struct WinogradChunks(WinogradLayout Layout, int Images, int Threads)
{
    // Maximum number of tiles of a chunk. More tiles use a transformed filter more often; fewer tiles stay in the L2 cache.
    private const int MaximumTiles = 64;

    // Maximum number of tiles of an image times channel blocks that every thread transforms for itself.
    private const int MaximumTransforms = 32;

    /// <summary>
    /// Whether one item performs the input transform, the multiplication by all filters and the output transform of a chunk.
    /// If false, there are fewer chunks than threads: the threads share the transformed tiles, and an item multiplies them by
    /// one panel of filters or by a piece of one.
    /// </summary>
    public bool AreFused => Count >= Threads;

    /// <summary>
    /// Whether, if chunks are not fused, each thread transforms all tiles of a chunk for itself. This is the case if there are
    /// few tiles, because reading them from another core's cache takes longer.
    /// </summary>
    public bool AreTransformedByAll => Layout.ImageTiles * Layout.Blocks <= MaximumTransforms && Layout.Panels % Threads == 0;

    /// <summary>Number of chunks.</summary>
    public int Count => ImagesTogether > 1 ? (Images + ImagesTogether - 1) / ImagesTogether : Images * Parts.Count;

    /// <summary>The chunk with an index, 0 to <see cref="Count"/> - 1.</summary>
    public WinogradChunk this[int index]
    {
        get
        {
            int together = ImagesTogether;
            if (together > 1)
            {
                int first = index * together;
                return new(Layout.Rows, Layout.Columns, first, Math.Min(together, Images - first), 0, Layout.Rows.Tiles);
            }
            var parts = Parts;
            (int image, int part) = Math.DivRem(index, parts.Count);
            return new(Layout.Rows, Layout.Columns, image, 1, parts.First(part), parts.First(part + 1));
        }
    }

    /// <summary>Index of the chunk that contains a row of tiles.</summary>
    public int ChunkOf(int image, int tileRow) =>
        ImagesTogether > 1 ? image / ImagesTogether : image * Parts.Count + Parts.PartOf(tileRow);

    /// <summary>Floats from one chunk's transformed tiles to the next one's.</summary>
    public long ChunkFloats => WinogradLayout.FloatsOf(this[0], Layout.Blocks, Layout.Lanes);

    // Division of an image's rows of tiles into chunks. If there are fewer panels than threads, the rows are divided among
    // the threads.
    private EvenParts Parts
    {
        get
        {
            int rows = Layout.Rows.Tiles, most = MaximumTiles / Layout.Columns.Tiles;
            return new(rows, Layout.Panels < Threads ? Math.Min(most, (rows + Threads - 1) / Threads) : most, Threads);
        }
    }

    // Number of images of a chunk: at most the number of images per thread, rounded up, to distribute them over the threads.
    private int ImagesTogether =>
        Parts.Count > 1 ? 1 : Math.Clamp((Images + Threads - 1) / Threads, 1, Math.Max(1, MaximumTiles / Layout.ImageTiles));
}
