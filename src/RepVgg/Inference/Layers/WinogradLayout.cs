using RepVgg.Inference.Execution;

namespace RepVgg.Inference.Layers;

/// <summary>How a layer's tiles lie.</summary>
/// <param name="Rows">The output's rows.</param>
/// <param name="Columns">The output's columns.</param>
/// <param name="Blocks">Channel blocks of the input.</param>
/// <param name="Lanes">Channels of one block.</param>
/// <param name="Panels">Panels of filters that the tiles meet.</param>
internal readonly unsafe record struct WinogradLayout(WinogradAxis Rows, WinogradAxis Columns, int Blocks, int Lanes, int Panels)
{
    /// <summary>Tiles of one image.</summary>
    public int ImageTiles => Rows.Tiles * Columns.Tiles;

    /// <summary>Cuts the tiles of some images into chunks.</summary>
    public WinogradChunks Cut(Window window) => new(this, window.Images, window.Threads);

    /// <summary>Floats of one image's transformed tiles, whatever the batch, where several threads share them.</summary>
    /// <param name="threads">How many threads.</param>
    public long ImageFloats(int threads)
    {
        var chunks = new WinogradChunks(this, 1, threads);
        return chunks.ChunkFloats * chunks.Count;
    }

    /// <summary>Floats of the transformed tiles of the largest chunk.</summary>
    public long LargestChunkFloats => FloatsOf(LargestChunk, Blocks, Lanes);

    /// <summary>Floats of the sums of the largest chunk.</summary>
    /// <param name="pitch">Floats of one tile's sums at one point.</param>
    public long LargestSumsFloats(int pitch) => FloatsOf(LargestChunk, 1, pitch);

    private WinogradChunk LargestChunk => new WinogradChunks(this, int.MaxValue / 2, 1)[0];

    /// <summary>Floats of a chunk's values.</summary>
    /// <param name="chunk">The chunk.</param>
    /// <param name="blocks">Channel blocks.</param>
    /// <param name="pitch">Floats of one value of a block.</param>
    public static long FloatsOf(in WinogradChunk chunk, int blocks, int pitch)
    {
        nint* offsets = stackalloc nint[WinogradChunk.Points], blockPitches = stackalloc nint[WinogradAxis.Points];
        return chunk.Lay(blocks, pitch, offsets, blockPitches);
    }
}
