namespace RepVgg.Inference.Execution;

/// <summary>
/// Divides rows into parts whose sizes differ by at most one. The larger parts come first, so that threads finish at about
/// the same time.
/// </summary>
internal readonly record struct EvenParts
{
    private readonly int _rows;
    private readonly int _larger;

    /// <param name="rows">Number of rows, 1 or more.</param>
    /// <param name="most">Maximum number of rows in a part; values below 1 are treated as 1.</param>
    /// <param name="threads">If there are several parts, their number is rounded up to a multiple of this value, but not above <paramref name="rows"/>.</param>
    public EvenParts(int rows, int most, int threads = 1)
    {
        most = Math.Clamp(most, 1, rows);
        int parts = (rows + most - 1) / most;
        Count = parts == 1 ? 1 : Math.Min((parts + threads - 1) / threads * threads, rows);
        (_rows, _larger) = Math.DivRem(rows, Count);
    }

    /// <summary>Number of parts.</summary>
    public int Count { get; }

    /// <summary>First row of a part; for <paramref name="part"/> = <see cref="Count"/>, the number of rows.</summary>
    public int First(int part) => part * _rows + Math.Min(part, _larger);

    /// <summary>Index of the part that contains a row.</summary>
    public int PartOf(int row)
    {
        int inLarger = _larger * (_rows + 1);
        return row < inLarger ? row / (_rows + 1) : _larger + (row - inLarger) / _rows;
    }
}
