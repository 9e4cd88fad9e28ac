using RepVgg.Inference.Execution;

namespace RepVgg.Inference.Layers;

/// <summary>The tiles, channel blocks and panels of a Winograd layer, from which the sizes of its buffers follow.</summary>
/// <param name="Rows">Rows of the output.</param>
/// <param name="Columns">Columns of the output.</param>
/// <param name="Blocks">Number of channel blocks of the input.</param>
/// <param name="Lanes">Number of channels in one block.</param>
/// <param name="Panels">Number of filter panels of the layer.</param>
internal readonly unsafe record struct WinogradLayout(WinogradAxis Rows, WinogradAxis Columns, int Blocks, int Lanes, int Panels)
{
    /// <summary>Number of tiles of one image.</summary>
    public int ImageTiles => Rows.Tiles * Columns.Tiles;

    /// <summary>Divides the tiles of a window's images into chunks.</summary>
    public WinogradChunks Cut(Window window) => new(this, window.Images, window.Threads);

    /// <summary>Floats to reserve per image for transformed tiles that several threads share; sufficient for any number of images.</summary>
    /// <param name="threads">Maximum number of threads.</param>
    public long ImageFloats(int threads)
    {
        var chunks = new WinogradChunks(this, 1, threads);
        return chunks.ChunkFloats * chunks.Count;
    }

    /// <summary>Floats of the transformed tiles of the largest chunk.</summary>
    public long LargestChunkFloats => FloatsOf(LargestChunk, Blocks, Lanes);

    /// <summary>Floats of the sums of the largest chunk.</summary>
    /// <param name="pitch">Floats of the sums of one tile at a pair of points.</param>
    public long LargestSumsFloats(int pitch) => FloatsOf(LargestChunk, 1, pitch);

    private WinogradChunk LargestChunk => new WinogradChunks(this, int.MaxValue / 2, 1)[0];

    /// <summary>Floats of all values of a chunk.</summary>
    /// <param name="chunk">The chunk.</param>
    /// <param name="blocks">Number of channel blocks.</param>
    /// <param name="pitch">Floats of the values of one tile and one block at a pair of points.</param>
    public static long FloatsOf(in WinogradChunk chunk, int blocks, int pitch)
    {
        nint* offsets = stackalloc nint[WinogradChunk.Points], blockPitches = stackalloc nint[WinogradAxis.Points];
        return chunk.Lay(blocks, pitch, offsets, blockPitches);
    }
}
