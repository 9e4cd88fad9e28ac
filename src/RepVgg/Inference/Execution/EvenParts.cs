namespace RepVgg.Inference.Execution;

/// <summary>Rows cut into parts of nearly the same size; the larger parts come first, so that threads end together.</summary>
internal readonly record struct EvenParts
{
    private readonly int _rows;
    private readonly int _larger;

    /// <param name="rows">How many rows there are.</param>
    /// <param name="most">Rows of a part at most; a part has one at least.</param>
    /// <param name="threads">Where there are several parts, there are so many that threads get the same number of rows.</param>
    public EvenParts(int rows, int most, int threads = 1)
    {
        most = Math.Clamp(most, 1, rows);
        int parts = (rows + most - 1) / most;
        Count = parts == 1 ? 1 : Math.Min((parts + threads - 1) / threads * threads, rows);
        (_rows, _larger) = Math.DivRem(rows, Count);
    }

    /// <summary>Number of parts.</summary>
    public int Count { get; }

    /// <summary>A part's first row; of the part after the last, the number of rows.</summary>
    public int First(int part) => part * _rows + Math.Min(part, _larger);

    /// <summary>The part that a row belongs to.</summary>
    public int PartOf(int row)
    {
        int inLarger = _larger * (_rows + 1);
        return row < inLarger ? row / (_rows + 1) : _larger + (row - inLarger) / _rows;
    }
}
