using RepVgg.Backends.Cpu.Execution;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>
/// A division of a batch into chunks for parallel work. It does not depend on the number of threads, so that sums over
/// chunks are bitwise equal for any number of threads.
/// </summary>
internal readonly struct BatchChunks
{
    private readonly int _items;
    private readonly int _unit;

    private BatchChunks(int items, int count, int unit = 0)
    {
        _items = items;
        _unit = unit;
        Count = count;
    }

    /// <summary>Number of chunks.</summary>
    public int Count { get; }

    /// <summary>Creates chunks with separate sums of a given size. Large sums result in fewer chunks.</summary>
    /// <param name="images">Number of images.</param>
    /// <param name="sumsLength">Number of floats of sums per chunk; 0 if there are no sums.</param>
    /// <param name="unit">Number of images that are computed together; used only without sums.</param>
    public static BatchChunks ForSums(int images, long sumsLength, int unit) =>
        sumsLength == 0 ? OfUnits(images, unit) : new(images, Math.Min(images, sumsLength > 1 << 18 ? 4 : sumsLength > 1 << 15 ? 8 : 16));

    /// <summary>Creates at most 512 chunks of at least <paramref name="atLeast"/> rows each (one chunk if there are fewer rows), for passes with small sums.</summary>
    public static BatchChunks OfRows(long rows, int atLeast) =>
        new((int)Math.Min(rows, int.MaxValue), (int)Math.Clamp(rows / atLeast, 1, 512));

    /// <summary>Creates chunks of <paramref name="unit"/> images each; the last may be smaller.</summary>
    public static BatchChunks OfUnits(int images, int unit) => new(images, (images + unit - 1) / unit, unit);

    /// <summary>Returns the same chunks with each item counted as <paramref name="parts"/> items, for example as its pixels.</summary>
    public BatchChunks Scaled(int parts) => new(_items * parts, Count, _unit * parts);

    /// <summary>Returns the first item of a chunk. Start(<see cref="Count"/>) is the number of items.</summary>
    public int Start(int chunk) => _unit > 0 ? (int)Math.Min((long)_unit * chunk, _items) : (int)((long)_items * chunk / Count);
}
