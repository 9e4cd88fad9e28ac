using System.Runtime.CompilerServices;
using RepVgg.Runtime.Winograd;

namespace RepVgg.Inference.Float32;

/// <summary>
/// A chunk of tiles that are multiplied together: consecutive rows of tiles, of one or several images. Memory layout of their values:
/// [row point][channel block][column point][row of tiles][column of tiles][channel].
/// </summary>
/// <param name="Rows">Rows of the output of an image.</param>
/// <param name="Columns">Columns of the output.</param>
/// <param name="First">First row of tiles; the rows of all images are counted, one image after the other.</param>
/// <param name="End">The row of tiles after the last.</param>
internal readonly unsafe record struct TileChunk(TileAxis Rows, TileAxis Columns, int First, int End)
{
    /// <summary>Number of tiles that have values at a pair of points.</summary>
    /// <param name="row">Index of the row point, 0 to 5.</param>
    /// <param name="column">Index of the column point, 0 to 5.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Count(int row, int column) => Rows.Count(row, First, End) * ColumnCount(column);

    /// <summary>Computes the memory layout: the offset of the values of each pair of points.</summary>
    /// <param name="blocks">Number of channel blocks.</param>
    /// <param name="pitch">Floats of the values of one tile and one block at a pair of points.</param>
    /// <param name="offsets">Receives the 36 offsets of the first channel block, [row point][column point].</param>
    /// <param name="blockPitches">Receives, for each of the 6 row points, the floats from one channel block to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void ComputeOffsets(int blocks, int pitch, nint* offsets, nint* blockPitches)
    {
        nint* columns = stackalloc nint[WinogradTile.Points];
        for (int column = 0; column < WinogradTile.Points; column++)
            columns[column] = (nint)ColumnCount(column) * pitch;
        nint total = 0;
        for (int row = 0; row < WinogradTile.Points; row++)
        {
            nint block = 0, count = Rows.Count(row, First, End);
            for (int column = 0; column < WinogradTile.Points; column++)
            {
                *offsets++ = total + block;
                block += count * columns[column];
            }
            *blockPitches++ = block;
            total += blocks * block;
        }
    }

    /// <summary>Computes the offsets of the values of the first tile of a row. The values of the next tile follow after <paramref name="pitch"/> floats.</summary>
    /// <param name="tileRow">The row of tiles.</param>
    /// <param name="pitch">Floats of the values of one tile at a pair of points.</param>
    /// <param name="offsets">The 36 offsets of a channel block; see <see cref="ComputeOffsets"/>.</param>
    /// <param name="addresses">Receives the 36 offsets of the tile, [row point][column point].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void ComputeTileOffsets(int tileRow, int pitch, nint* offsets, nint* addresses)
    {
        nint* columns = stackalloc nint[WinogradTile.Points];
        for (int column = 0; column < WinogradTile.Points; column++)
            columns[column] = (nint)ColumnCount(column) * pitch;
        for (int row = 0; row < WinogradTile.Points; row++)
        {
            nint index = Rows.Count(row, First, tileRow);
            for (int column = 0; column < WinogradTile.Points; column++)
                *addresses++ = *offsets++ + index * columns[column];
        }
    }

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
    /// <param name="first">First tile; the tiles of several axes of this size, one after the other, are counted.</param>
    /// <param name="end">The tile after the last.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Count(int point, int first, int end) => end - first - (SizeOf(Tiles - 1) + 2 <= point ? end / Tiles - first / Tiles : 0);
}
