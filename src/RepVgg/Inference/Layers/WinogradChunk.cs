using System.Runtime.CompilerServices;

namespace RepVgg.Inference.Layers;

/// <summary>
/// Tiles that are multiplied together: rows of tiles of one image, or all tiles of several. Their values lie as
/// [slot of the row][channel block][slot of the column][image][row of tiles][column of tiles][channel].
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
    /// <summary>Pairs of slots.</summary>
    public const int Slots = WinogradAxis.Slots * WinogradAxis.Slots;

    /// <summary>Addresses of one tile: rows of 6, of which the sixth may be followed by three more.</summary>
    public const int Addresses = (WinogradAxis.Slots + WinogradAxis.TileSize - 1) * WinogradAxis.Slots;

    /// <summary>How many values meet the filters' values in a slot.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public int Count(int row, int column) => Images * Rows.Count(row, FirstRow, LastRow) * ColumnCount(column);

    /// <summary>Computes where each slot's values begin.</summary>
    /// <param name="blocks">Channel blocks.</param>
    /// <param name="pitch">Floats of one value of a block.</param>
    /// <param name="offsets">Receives 36 offsets, in the first block.</param>
    /// <param name="blockPitches">Receives, for each slot of a row, the floats from one block to the next.</param>
    /// <returns>Floats of all values.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public long Lay(int blocks, int pitch, nint* offsets, nint* blockPitches)
    {
        nint total = 0;
        for (int row = 0; row < WinogradAxis.Slots; row++)
        {
            nint block = 0;
            for (int column = 0; column < WinogradAxis.Slots; column++)
            {
                *offsets++ = total + block;
                block += (nint)Count(row, column) * pitch;
            }
            *blockPitches++ = block;
            total += blocks * block;
        }
        return total;
    }

    /// <summary>Computes where the values of a row's first tile are.</summary>
    /// <param name="image">The image.</param>
    /// <param name="tileRow">The row of tiles.</param>
    /// <param name="pitch">Floats of one value.</param>
    /// <param name="offsets">Where the slots' values begin.</param>
    /// <param name="addresses">Receives <see cref="Addresses"/> offsets.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Locate(int image, int tileRow, int pitch, nint* offsets, nint* addresses)
    {
        nint* columns = stackalloc nint[WinogradAxis.Slots];
        for (int column = 0; column < WinogradAxis.Slots; column++)
            columns[column] = (nint)ColumnCount(column) * pitch;
        for (int row = 0; row < WinogradAxis.Slots + WinogradAxis.TileSize - 1; row++)
        {
            int slot = Math.Min(row, WinogradAxis.Slots - 1);
            nint place = (image - FirstImage) * Rows.Count(slot, FirstRow, LastRow) + (tileRow - FirstRow) * Rows.Step(slot) + row - slot;
            for (int column = 0; column < WinogradAxis.Slots; column++)
                *addresses++ = offsets[slot * WinogradAxis.Slots + column] + place * columns[column];
        }
    }

    /// <summary>
    /// Goes on to the next tile of the row, whose values stand one further in every slot but the middle tap's: there
    /// they stand four further.
    /// </summary>
    /// <param name="pitch">Floats of one value.</param>
    /// <param name="values">What the addresses count from.</param>
    /// <param name="addresses">The tile's addresses.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Advance(int pitch, ref float* values, nint* addresses)
    {
        values += pitch;
        nint more = (Columns.Step(WinogradAxis.Slots - 1) - 1) * pitch;
        for (int i = WinogradAxis.Slots - 1; more != 0 && i < Addresses; i += WinogradAxis.Slots)
            addresses[i] += more;
    }

    private int ColumnCount(int column) => Columns.Count(column, 0, Columns.Tiles);
}
