namespace RepVgg.Inference.Layers;

/// <summary>How transformed tiles lie in memory: [point][tile][channel].</summary>
/// <remarks>
/// Distances are an odd number of cache lines: the points of one tile, and the tiles of one kernel call, would
/// otherwise meet in a few sets of the first-level cache.
/// </remarks>
/// <param name="Tiles">The tiles of the output map.</param>
/// <param name="Channels">Input channels, in whole blocks.</param>
internal readonly record struct WinogradLayout(WinogradTiles Tiles, int Channels)
{
    /// <summary>Points of a 4x4 tile.</summary>
    public const int Points = 36;

    /// <summary>Floats from one tile to the next.</summary>
    public int TilePitch => (int)OddLines(Channels);

    /// <summary>Floats that one image needs, whatever the batch: the line that makes a pitch odd may be needed by any batch.</summary>
    public long ImageFloats => Points * ((long)Tiles.Count * TilePitch + 16);

    /// <summary>Floats from one point to the next.</summary>
    public long PointPitch(int images) => OddLines((long)images * Tiles.Count * TilePitch);

    /// <summary>Rounds up to an odd number of cache lines.</summary>
    public static long OddLines(long floats) => ((floats + 15) / 16 | 1) * 16;
}
