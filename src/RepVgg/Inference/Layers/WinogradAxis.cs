using System.Runtime.CompilerServices;

namespace RepVgg.Inference.Layers;

/// <summary>
/// The rows or the columns of a Winograd layer's output, divided into tiles of four outputs; the last tile can be smaller.
/// </summary>
/// <param name="Outputs">Number of outputs along the axis.</param>
internal readonly record struct WinogradAxis(int Outputs)
{
    /// <summary>Number of outputs of a whole tile.</summary>
    public const int TileSize = 4;

    /// <summary>Number of interpolation points of a whole tile for filters with three taps along the axis.</summary>
    public const int Points = 6;

    /// <summary>Number of interpolation points of a whole tile for filters with two taps along the axis.</summary>
    public const int PointsOfTwoTaps = 5;

    /// <summary>Number of tiles.</summary>
    public int Tiles => (Outputs + TileSize - 1) / TileSize;

    /// <summary>Number of outputs of a tile, 1 to 4.</summary>
    public int SizeOf(int tile) => Math.Min(TileSize, Outputs - TileSize * tile);

    /// <summary>
    /// Number of tiles in a range that use a point, for filters with three taps. A tile of m outputs uses the first m + 2
    /// points, and only the last tile of the axis can have fewer than four outputs.
    /// </summary>
    /// <param name="point">Index of the point, 0 to 5.</param>
    /// <param name="first">First tile.</param>
    /// <param name="last">The tile after the last.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Count(int point, int first, int last) => last - first - (SizeOf(last - 1) + 2 <= point ? 1 : 0);
}
