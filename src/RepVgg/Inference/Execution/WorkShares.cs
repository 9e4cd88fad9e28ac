namespace RepVgg.Inference.Execution;

/// <summary>
/// Divides the work of a layer, all rows of its map times all panels of its filters, into shares of nearly equal size. A share consists of whole rows and of
/// parts of the rows at its ends: there it has some of the panels. Each thread computes the same share of every layer, so that it mostly reads the rows
/// that it has written itself.
/// </summary>
/// <remarks>
/// Cores that are far apart exchange cache lines slowly: overwriting a line that another core has read is slowest, several times slower than reading it. Shares
/// of rows exchange only the rows next to their ends.
/// </remarks>
internal readonly struct WorkShares
{
    private readonly int _images;
    private readonly int _rows;
    private readonly int _rowWork;
    private readonly int _lastRowWork;
    private readonly int _panels;
    private readonly bool _byRows;

    /// <param name="images">Number of images; their rows follow each other.</param>
    /// <param name="rows">Rows of one image.</param>
    /// <param name="rowWork">Work of every row of an image but the last.</param>
    /// <param name="lastRowWork">Work of the last row of an image.</param>
    /// <param name="panels">Number of panels.</param>
    /// <param name="count">Number of shares.</param>
    /// <param name="byRows">True to divide the rows, and the panels only in the rows at the ends of a share; false to divide the panels, and the rows only in the panels at its ends.</param>
    public WorkShares(int images, int rows, int rowWork, int lastRowWork, int panels, int count, bool byRows)
    {
        (_images, _rows, _rowWork, _lastRowWork, _panels, _byRows) = (images, rows, rowWork, lastRowWork, panels, byRows);
        Count = (int)Math.Min(count, (long)images * rows * panels);
    }

    /// <summary>Number of shares.</summary>
    public int Count { get; }

    /// <summary>The share with an index, 0 to <see cref="Count"/> - 1.</summary>
    public WorkShare this[int share]
    {
        get
        {
            var (row, panel) = Boundary(share);
            var (lastRow, lastPanel) = Boundary(share + 1);
            return _byRows
                ? new WorkShare(row, panel, lastRow, lastPanel, 0, row == lastRow ? panel : 0, row == lastRow ? lastPanel : _panels)
                : new WorkShare(row, panel, lastRow, lastPanel, _images * _rows, panel, lastRow > 0 ? lastPanel + 1 : lastPanel);
        }
    }

    /// <summary>The row and the panel at which a share begins: it has all work after that point, in the order of rows and, within a row, of panels, or the reverse.</summary>
    private (int Row, int Panel) Boundary(int share)
    {
        long imageWork = (long)(_rows - 1) * _rowWork + _lastRowWork, work = _images * imageWork * _panels * share / Count;
        if (!_byRows)
        {
            var (panel, rest) = Math.DivRem(work, _images * imageWork);
            int row = RowAt(rest, imageWork, 1, out long excess);
            if (2 * excess >= WorkOf(row))
                row++;
            return row < _images * _rows ? (row, (int)panel) : (0, (int)panel + 1);
        }
        else
        {
            int row = RowAt(work, imageWork, _panels, out long excess);
            int panel = row == _images * _rows ? 0 : (int)((excess + WorkOf(row) / 2) / WorkOf(row));
            return panel < _panels ? (row, panel) : (row + 1, 0);
        }
    }

    // The row in which some work lies, and the work since the start of that row.
    private int RowAt(long work, long imageWork, int panels, out long excess)
    {
        var (image, rest) = Math.DivRem(work, imageWork * panels);
        long row = Math.Min(rest / ((long)_rowWork * panels), _rows - 1);
        excess = rest - row * _rowWork * panels;
        return (int)(image * _rows + row);
    }

    private int WorkOf(int row) => row % _rows == _rows - 1 ? _lastRowWork : _rowWork;
}

/// <summary>A share of the work of a layer; see <see cref="WorkShares"/>. If there are nearly as many shares as panels of rows, some have no work.</summary>
internal readonly struct WorkShare
{
    private readonly int _row;
    private readonly int _panel;
    private readonly int _lastRow;
    private readonly int _lastPanel;
    private readonly int _allRows;

    /// <param name="row">Row at which the share begins.</param>
    /// <param name="panel">Panel at which the share begins.</param>
    /// <param name="lastRow">Row at which the share ends.</param>
    /// <param name="lastPanel">Panel at which the share ends; the share does not have it in <paramref name="lastRow"/>.</param>
    /// <param name="allRows">Number of rows if the share is one of panels; 0 if it is one of rows.</param>
    /// <param name="firstPanel">First panel of which the share has rows.</param>
    /// <param name="endPanel">The panel after the last.</param>
    public WorkShare(int row, int panel, int lastRow, int lastPanel, int allRows, int firstPanel, int endPanel)
    {
        (_row, _panel, _lastRow, _lastPanel, _allRows, FirstPanel, EndPanel) = (row, panel, lastRow, lastPanel, allRows, firstPanel, endPanel);
        bool isOnePanel = allRows > 0 && (panel == lastPanel || (lastRow == 0 && panel + 1 == lastPanel));
        FirstRow = allRows > 0 && !isOnePanel ? 0 : row;
        EndRow = allRows == 0 ? lastPanel > 0 ? lastRow + 1 : lastRow : isOnePanel && lastRow > 0 ? lastRow : allRows;
    }

    /// <summary>First panel of which the share has rows.</summary>
    public int FirstPanel { get; }

    /// <summary>The panel after the last.</summary>
    public int EndPanel { get; }

    /// <summary>Whether the share has no work.</summary>
    public bool IsEmpty => FirstPanel >= EndPanel || FirstRow >= EndRow;

    /// <summary>First row of any panel.</summary>
    public int FirstRow { get; }

    /// <summary>The row after the last of any panel.</summary>
    public int EndRow { get; }

    /// <summary>The rows of a panel that the share has and that lie in a range.</summary>
    /// <param name="panel">Index of the panel, <see cref="FirstPanel"/> to <see cref="EndPanel"/> - 1.</param>
    /// <param name="first">First row of the range.</param>
    /// <param name="end">The row after the last of the range.</param>
    /// <returns>First row and the row after the last; no rows if they are equal.</returns>
    public (int First, int End) Rows(int panel, int first, int end)
    {
        int from, to;
        if (_allRows == 0)
            (from, to) = (panel < _panel ? _row + 1 : _row, panel < _lastPanel ? _lastRow + 1 : _lastRow);
        else
            (from, to) = (panel == _panel ? _row : 0, panel == _lastPanel ? _lastRow : _allRows);
        first = Math.Max(first, from);
        return (first, Math.Max(first, Math.Min(end, to)));
    }
}
