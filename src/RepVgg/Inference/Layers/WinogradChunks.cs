using RepVgg.Inference.Execution;

namespace RepVgg.Inference.Layers;

/// <summary>How the tiles of some images are cut into chunks, and how the work on them is shared out.</summary>
/// <param name="Layout">How the tiles lie.</param>
/// <param name="Images">How many images there are.</param>
/// <param name="Threads">Threads that share the work.</param>
internal readonly record struct WinogradChunks(WinogradLayout Layout, int Images, int Threads)
{
    // More tiles make better use of a transformed filter; fewer stay in the second-level cache.
    private const int MaximumTiles = 64;

    // Tiles of an image times channel blocks.
    private const int MaximumTransforms = 32;

    /// <summary>
    /// Whether one item transforms a chunk of tiles, multiplies it with all filters and transforms it back; otherwise
    /// there are too few chunks for the threads, the transformed tiles are shared, and an item takes one panel of filters.
    /// </summary>
    public bool AreFused => Count >= Threads;

    /// <summary>
    /// Whether, where chunks are not fused, each thread transforms all tiles for itself: they are few, and to fetch them
    /// from another core takes longer.
    /// </summary>
    public bool AreTransformedByAll => Layout.ImageTiles * Layout.Blocks <= MaximumTransforms && Layout.Panels % Threads == 0;

    /// <summary>Number of chunks.</summary>
    public int Count => ImagesTogether > 1 ? (Images + ImagesTogether - 1) / ImagesTogether : Images * Parts.Count;

    /// <summary>The chunk with a number.</summary>
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

    /// <summary>Number of the chunk that a row of tiles belongs to.</summary>
    public int ChunkOf(int image, int tileRow) =>
        ImagesTogether > 1 ? image / ImagesTogether : image * Parts.Count + Parts.PartOf(tileRow);

    /// <summary>Floats from one chunk's transformed tiles to the next one's.</summary>
    public long ChunkFloats => WinogradLayout.FloatsOf(this[0], Layout.Blocks, Layout.Lanes);

    // Where there are fewer panels than threads, an image's tiles are shared out.
    private EvenParts Parts
    {
        get
        {
            int rows = Layout.Rows.Tiles, most = MaximumTiles / Layout.Columns.Tiles;
            return new(rows, Layout.Panels < Threads ? Math.Min(most, (rows + Threads - 1) / Threads) : most, Threads);
        }
    }

    // No more than leaves every thread a chunk.
    private int ImagesTogether =>
        Parts.Count > 1 ? 1 : Math.Clamp((Images + Threads - 1) / Threads, 1, Math.Max(1, MaximumTiles / Layout.ImageTiles));
}
