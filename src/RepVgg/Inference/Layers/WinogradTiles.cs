using System.Runtime.CompilerServices;

namespace RepVgg.Inference.Layers;

/// <summary>One Winograd tile.</summary>
/// <param name="Image">Which image of the batch.</param>
/// <param name="Y">First output row.</param>
/// <param name="X">First output column.</param>
/// <param name="Rows">Output rows: 4, or 2 at the lower edge.</param>
/// <param name="Columns">Output columns: 4, or 2 at the right edge.</param>
internal readonly record struct WinogradTile(int Image, int Y, int X, int Rows, int Columns);

/// <summary>
/// How a map is cut into tiles of 4x4 output pixels, with tiles of 2 where one or two rows or columns are left over,
/// and the order of a batch's tiles.
/// </summary>
/// <remarks>
/// Smaller tiles use fewer points. The order is: lower edge, whole tiles, right edge, corner, each for all images; so
/// the tiles that use a given point are always consecutive.
/// </remarks>
internal readonly struct WinogradTiles
{
    private readonly int _rows;
    private readonly int _columns;
    private readonly int _edgeRows;
    private readonly int _edgeColumns;

    /// <param name="height">Rows of the output map.</param>
    /// <param name="width">Columns of the output map.</param>
    public WinogradTiles(int height, int width)
    {
        // Three left over are cheaper as a whole tile that hangs over than as a 2 and another 2.
        _rows = (height + 1) / 4;
        _columns = (width + 1) / 4;
        _edgeRows = height % 4 is 1 or 2 ? 1 : 0;
        _edgeColumns = width % 4 is 1 or 2 ? 1 : 0;
    }

    /// <summary>Tiles of one image.</summary>
    public int Count => TileRows * (_columns + _edgeColumns);

    /// <summary>Rows of tiles, the lower edge included.</summary>
    public int TileRows => _rows + _edgeRows;

    /// <summary>Columns of tiles, the right edge included.</summary>
    public int TileColumns => _columns + _edgeColumns;

    private int Whole => _rows * _columns;

    private int Lower => _edgeRows * _columns;

    private int Right => _rows * _edgeColumns;

    /// <summary>Number of the tile at a row and column of tiles.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public int IndexOf(int images, int image, int row, int column) => (row < _rows, column < _columns) switch
    {
        (true, true) => images * Lower + image * Whole + row * _columns + column,
        (true, false) => images * (Lower + Whole) + image * Right + row,
        (false, true) => image * Lower + column,
        _ => images * (Lower + Whole + Right) + image,
    };

    /// <summary>The tile with a number.</summary>
    public WinogradTile this[int images, int index]
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        get
        {
            if (index < images * Lower)
                return new(index / _columns, 4 * _rows, index % _columns * 4, 2, 4);
            index -= images * Lower;
            if (index < images * Whole)
                return new(index / Whole, index % Whole / _columns * 4, index % Whole % _columns * 4, 4, 4);
            index -= images * Whole;
            if (index < images * Right)
                return new(index / Right, index % Right * 4, 4 * _columns, 4, 2);
            return new(index - images * Right, 4 * _rows, 4 * _columns, 2, 2);
        }
    }

    /// <summary>The tiles that use a point, as a range of numbers.</summary>
    /// <param name="images">Images in the batch.</param>
    /// <param name="row">Row of the point, 0 to 5.</param>
    /// <param name="column">Column of the point, 0 to 5.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public (int First, int Last) Using(int images, int row, int column)
    {
        bool inLower = row is not (3 or 4), inRight = column is not (3 or 4);
        int first = inLower ? 0 : Lower;
        int last = Lower + Whole + (inRight ? Right : 0) + (inLower && inRight ? _edgeRows * _edgeColumns : 0);
        return (images * first, images * last);
    }
}
