using System.Runtime.CompilerServices;

namespace RepVgg.Inference.Layers;

/// <summary>
/// Tiles that are multiplied together: rows of tiles of one image, or all tiles of several. Their values lie as
/// [point of the row][channel block][point of the column][image][row of tiles][column of tiles][channel].
/// </summary>
/// <param name="Rows">The output's rows.</param>
/// <param name="Columns">The output's columns.</param>
/// <param name="FirstImage">First image.</param>
/// <param name="Images">How many.</param>
/// <param name="FirstRow">First row of tiles.</param>
/// <param name="LastRow">The row of tiles after the last.</param>
internal readonly unsafe record struct WinogradChunk(
    WinogradAxis Rows, WinogradAxis Columns, int FirstImage, int Images, int FirstRow, int LastRow)
{
    /// <summary>Pairs of points.</summary>
    public const int Points = WinogradAxis.Points * WinogradAxis.Points;

    /// <summary>How many tiles have values at a pair of points.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Count(int row, int column) => RowCount(row) * ColumnCount(column);

    /// <summary>Computes where each pair's values begin.</summary>
    /// <param name="blocks">Channel blocks.</param>
    /// <param name="pitch">Floats of one value of a block.</param>
    /// <param name="offsets">Receives 36 offsets, in the first block.</param>
    /// <param name="blockPitches">Receives, for each point of a row, the floats from one block to the next.</param>
    /// <returns>Floats of all values.</returns>
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

    /// <summary>Computes where the values of a row's first tile are; those of the next one stand one further.</summary>
    /// <param name="image">The image.</param>
    /// <param name="tileRow">The row of tiles.</param>
    /// <param name="pitch">Floats of one value.</param>
    /// <param name="offsets">Where each pair's values begin.</param>
    /// <param name="addresses">Receives 36 offsets.</param>
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
