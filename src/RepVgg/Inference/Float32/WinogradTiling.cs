using System.Runtime.CompilerServices;
using RepVgg.Inference.Execution;
using RepVgg.Runtime.Winograd;

namespace RepVgg.Inference.Float32;

/// <summary>The tiles, channel blocks and panels of a Winograd layer, from which the sizes of its buffers follow.</summary>
/// <param name="Rows">Rows of the output.</param>
/// <param name="Columns">Columns of the output.</param>
/// <param name="Blocks">Number of channel blocks of the input.</param>
/// <param name="Lanes">Number of channels in one block.</param>
/// <param name="Panels">Number of filter panels of the layer.</param>
internal readonly unsafe record struct WinogradTiling(TileAxis Rows, TileAxis Columns, int Blocks, int Lanes, int Panels)
{
    /// <summary>Number of tiles of one image.</summary>
    public int ImageTiles => Rows.Tiles * Columns.Tiles;

    /// <summary>Divides the tiles of a context's images into chunks.</summary>
    public TileChunks Divide(StepContext context) => new(this, context.Images, context.Threads);

    /// <summary>Floats to reserve per image for transformed tiles that several threads share; sufficient for any number of images.</summary>
    /// <param name="threads">Maximum number of threads.</param>
    public long ImageFloats(int threads)
    {
        var chunks = new TileChunks(this, 1, threads);
        return chunks.ChunkFloats * chunks.Count;
    }

    /// <summary>Floats of the transformed tiles of the largest chunk.</summary>
    public long LargestChunkFloats => FloatsOf(LargestChunk, Blocks, Lanes);

    /// <summary>Floats of the sums of the largest chunk.</summary>
    /// <param name="pitch">Floats of the sums of one tile at a pair of points.</param>
    public long LargestSumsFloats(int pitch) => FloatsOf(LargestChunk, 1, pitch);

    private TileChunk LargestChunk => new TileChunks(this, int.MaxValue / 2, 1)[0];

    /// <summary>Floats of all values of a chunk.</summary>
    /// <param name="chunk">The chunk.</param>
    /// <param name="blocks">Number of channel blocks.</param>
    /// <param name="pitch">Floats of the values of one tile and one block at a pair of points.</param>
    public static long FloatsOf(in TileChunk chunk, int blocks, int pitch)
    {
        nint* offsets = stackalloc nint[WinogradTile.AllPoints], blockPitches = stackalloc nint[WinogradTile.Points];
        return chunk.ComputeOffsets(blocks, pitch, offsets, blockPitches);
    }
}

/// <summary>The division of the tiles of some images into chunks, and the distribution of the work to threads.</summary>
/// <param name="Tiling">Tiles and channels of the layer.</param>
/// <param name="Images">Number of images.</param>
/// <param name="Threads">Maximum number of threads that share the work.</param>
internal readonly record struct TileChunks(WinogradTiling Tiling, int Images, int Threads)
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
    public bool AreTransformedPerThread => Tiling.ImageTiles * Tiling.Blocks <= MaximumTransforms && Tiling.Panels % Threads == 0;

    /// <summary>Number of chunks.</summary>
    public int Count => ImagesPerChunk > 1 ? (Images + ImagesPerChunk - 1) / ImagesPerChunk : Images * Parts.Count;

    /// <summary>The chunk with an index, 0 to <see cref="Count"/> - 1.</summary>
    public TileChunk this[int index]
    {
        get
        {
            int imagesPerChunk = ImagesPerChunk;
            if (imagesPerChunk > 1)
            {
                int first = index * imagesPerChunk;
                return new(Tiling.Rows, Tiling.Columns, first, Math.Min(imagesPerChunk, Images - first), 0, Tiling.Rows.Tiles);
            }
            var parts = Parts;
            (int image, int part) = Math.DivRem(index, parts.Count);
            return new(Tiling.Rows, Tiling.Columns, image, 1, parts.First(part), parts.First(part + 1));
        }
    }

    /// <summary>Index of the chunk that contains a row of tiles.</summary>
    public int ChunkOf(int image, int tileRow) =>
        ImagesPerChunk > 1 ? image / ImagesPerChunk : image * Parts.Count + Parts.PartOf(tileRow);

    /// <summary>Floats from one chunk's transformed tiles to the next one's.</summary>
    public long ChunkFloats => WinogradTiling.FloatsOf(this[0], Tiling.Blocks, Tiling.Lanes);

    // Division of an image's rows of tiles into chunks. If there are fewer panels than threads, the rows are divided among
    // the threads.
    private Partition Parts
    {
        get
        {
            int rows = Tiling.Rows.Tiles, maximumRows = MaximumTiles / Tiling.Columns.Tiles;
            return new(rows, Tiling.Panels < Threads ? Math.Min(maximumRows, (rows + Threads - 1) / Threads) : maximumRows, Threads);
        }
    }

    // Number of images of a chunk: at most the number of images per thread, rounded up, to distribute them over the threads.
    private int ImagesPerChunk =>
        Parts.Count > 1 ? 1 : Math.Clamp((Images + Threads - 1) / Threads, 1, Math.Max(1, MaximumTiles / Tiling.ImageTiles));
}

/// <summary>
/// A chunk of tiles that are multiplied together: some rows of tiles of one image, or all tiles of several images. Memory
/// layout of their values: [row point][channel block][column point][image][row of tiles][column of tiles][channel].
/// </summary>
/// <param name="Rows">Rows of the output.</param>
/// <param name="Columns">Columns of the output.</param>
/// <param name="FirstImage">First image.</param>
/// <param name="Images">Number of images.</param>
/// <param name="FirstRow">First row of tiles.</param>
/// <param name="LastRow">The row of tiles after the last.</param>
internal readonly unsafe record struct TileChunk(
    TileAxis Rows, TileAxis Columns, int FirstImage, int Images, int FirstRow, int LastRow)
{
    /// <summary>Number of tiles that have values at a pair of points.</summary>
    /// <param name="row">Index of the row point, 0 to 5.</param>
    /// <param name="column">Index of the column point, 0 to 5.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Count(int row, int column) => RowCount(row) * ColumnCount(column);

    /// <summary>Computes the memory layout: the offset of the values of each pair of points.</summary>
    /// <param name="blocks">Number of channel blocks.</param>
    /// <param name="pitch">Floats of the values of one tile and one block at a pair of points.</param>
    /// <param name="offsets">Receives the 36 offsets of the first channel block, [row point][column point].</param>
    /// <param name="blockPitches">Receives, for each of the 6 row points, the floats from one channel block to the next.</param>
    /// <returns>Floats of all values of the chunk.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public long ComputeOffsets(int blocks, int pitch, nint* offsets, nint* blockPitches)
    {
        nint* columns = stackalloc nint[WinogradTile.Points];
        for (int column = 0; column < WinogradTile.Points; column++)
            columns[column] = (nint)ColumnCount(column) * pitch;
        nint total = 0;
        for (int row = 0; row < WinogradTile.Points; row++)
        {
            nint block = 0, count = RowCount(row);
            for (int column = 0; column < WinogradTile.Points; column++)
            {
                *offsets++ = total + block;
                block += count * columns[column];
            }
            *blockPitches++ = block;
            total += blocks * block;
        }
        return total;
    }

    /// <summary>Computes the offsets of the values of the first tile of a row. The values of the next tile follow after <paramref name="pitch"/> floats.</summary>
    /// <param name="image">The image.</param>
    /// <param name="tileRow">The row of tiles.</param>
    /// <param name="pitch">Floats of the values of one tile at a pair of points.</param>
    /// <param name="offsets">The 36 offsets of a channel block; see <see cref="ComputeOffsets"/>.</param>
    /// <param name="addresses">Receives the 36 offsets of the tile, [row point][column point].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void ComputeTileOffsets(int image, int tileRow, int pitch, nint* offsets, nint* addresses)
    {
        nint* columns = stackalloc nint[WinogradTile.Points];
        for (int column = 0; column < WinogradTile.Points; column++)
            columns[column] = (nint)ColumnCount(column) * pitch;
        for (int row = 0; row < WinogradTile.Points; row++)
        {
            nint index = (image - FirstImage) * Rows.Count(row, FirstRow, LastRow) + tileRow - FirstRow;
            for (int column = 0; column < WinogradTile.Points; column++)
                *addresses++ = *offsets++ + index * columns[column];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int RowCount(int row) => Images * Rows.Count(row, FirstRow, LastRow);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int ColumnCount(int column) => Columns.Count(column, 0, Columns.Tiles);
}

/// <summary>
/// The rows or the columns of a Winograd layer's output, divided into tiles of four outputs; the last tile can be smaller.
/// </summary>
/// <param name="Outputs">Number of outputs along the axis.</param>
internal readonly record struct TileAxis(int Outputs)
{
    /// <summary>Number of tiles.</summary>
    public int Tiles => (Outputs + WinogradTile.Size - 1) / WinogradTile.Size;

    /// <summary>Number of outputs of a tile, 1 to 4.</summary>
    public int SizeOf(int tile) => Math.Min(WinogradTile.Size, Outputs - WinogradTile.Size * tile);

    /// <summary>
    /// Number of tiles in a range that use a point, for filters with three taps. A tile of m outputs uses the first m + 2
    /// points, and only the last tile of the axis can have fewer than four outputs.
    /// </summary>
    /// <param name="point">Index of the point, 0 to 5.</param>
    /// <param name="first">First tile.</param>
    /// <param name="last">The tile after the last.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Count(int point, int first, int last) => last - first - (SizeOf(last - 1) + 2 <= point ? 1 : 0);
}
