namespace RepVgg.Inference.Execution;

/// <summary>
/// Divides rows into parts whose sizes differ by at most one. The larger parts come first, so that threads finish at about
/// the same time.
/// </summary>
internal readonly record struct Partition
{
    private readonly int _smallerSize;
    private readonly int _largerParts;

    /// <param name="rows">Number of rows, 1 or more.</param>
    /// <param name="maximumSize">Maximum number of rows in a part; values below 1 are treated as 1.</param>
    /// <param name="threads">If there are several parts, their number is rounded up to a multiple of this value, but not above <paramref name="rows"/>.</param>
    public Partition(int rows, int maximumSize, int threads = 1)
    {
        maximumSize = Math.Clamp(maximumSize, 1, rows);
        int parts = (rows + maximumSize - 1) / maximumSize;
        Count = parts == 1 ? 1 : Math.Min((parts + threads - 1) / threads * threads, rows);
        (_smallerSize, _largerParts) = Math.DivRem(rows, Count);
    }

    /// <summary>Number of parts.</summary>
    public int Count { get; }

    /// <summary>First row of a part; for <paramref name="part"/> = <see cref="Count"/>, the number of rows.</summary>
    public int First(int part) => part * _smallerSize + Math.Min(part, _largerParts);
}
