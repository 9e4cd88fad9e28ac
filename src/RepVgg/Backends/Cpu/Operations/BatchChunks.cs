namespace RepVgg.Backends.Cpu.Operations;

/// <summary>A fixed division of a batch: it depends on the shape only, so sums over chunks have the same bits for any number of threads.</summary>
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

    /// <summary>How many chunks.</summary>
    public int Count { get; }

    /// <summary>Chunks that each keep sums of a given size: fewer where the sums are large.</summary>
    /// <param name="images">How many images.</param>
    /// <param name="sumsLength">Floats per chunk; 0 where chunks keep none.</param>
    /// <param name="unit">Images that are computed together.</param>
    public static BatchChunks ForSums(int images, long sumsLength, int unit) =>
        sumsLength == 0 ? OfUnits(images, unit) : new(images, Math.Min(images, sumsLength > 1 << 18 ? 4 : sumsLength > 1 << 15 ? 8 : 16));

    /// <summary>Chunks of at least so many rows, for passes that keep little.</summary>
    public static BatchChunks OfRows(long rows, int atLeast) =>
        new((int)Math.Min(rows, int.MaxValue), (int)Math.Clamp(rows / atLeast, 1, 512));

    /// <summary>Chunks of so many images each; the last may be smaller.</summary>
    public static BatchChunks OfUnits(int images, int unit) => new(images, (images + unit - 1) / unit, unit);

    /// <summary>The same chunks, counted in parts of the items.</summary>
    public BatchChunks Scaled(int parts) => new(_items * parts, Count, _unit * parts);

    /// <summary>The first item of a chunk; of chunk <see cref="Count"/>, the end.</summary>
    public int Start(int chunk) => _unit > 0 ? (int)Math.Min((long)_unit * chunk, _items) : (int)((long)_items * chunk / Count);
}
