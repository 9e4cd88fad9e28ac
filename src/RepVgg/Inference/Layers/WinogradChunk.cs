using System.Runtime.CompilerServices;

namespace RepVgg.Inference.Layers;

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
internal readonly unsafe record struct WinogradChunk(
    WinogradAxis Rows, WinogradAxis Columns, int FirstImage, int Images, int FirstRow, int LastRow)
{
    /// <summary>Number of pairs (row point, column point).</summary>
    public const int Points = WinogradAxis.Points * WinogradAxis.Points;

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
    public long Lay(int blocks, int pitch, nint* offsets, nint* blockPitches)
    {
        nint* columns = stackalloc nint[WinogradAxis.Points];
        for (int column = 0; column < WinogradAxis.Points; column++)
            columns[column] = (nint)ColumnCount(column) * pitch;
        nint total = 0;
        for (int row = 0; row < WinogradAxis.Points; row++)
        {
            nint block = 0, count = RowCount(row);
            for (int column = 0; column < WinogradAxis.Points; column++)
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
    /// <param name="offsets">The 36 offsets of a channel block; see <see cref="Lay"/>.</param>
    /// <param name="addresses">Receives the 36 offsets of the tile, [row point][column point].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Locate(int image, int tileRow, int pitch, nint* offsets, nint* addresses)
    {
        nint* columns = stackalloc nint[WinogradAxis.Points];
        for (int column = 0; column < WinogradAxis.Points; column++)
            columns[column] = (nint)ColumnCount(column) * pitch;
        for (int row = 0; row < WinogradAxis.Points; row++)
        {
            nint place = (image - FirstImage) * Rows.Count(row, FirstRow, LastRow) + tileRow - FirstRow;
            for (int column = 0; column < WinogradAxis.Points; column++)
                *addresses++ = *offsets++ + place * columns[column];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int RowCount(int row) => Images * Rows.Count(row, FirstRow, LastRow);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int ColumnCount(int column) => Columns.Count(column, 0, Columns.Tiles);
}
