using System.Runtime.CompilerServices;

namespace RepVgg.Inference.Layers;

/// <summary>
/// Rows or columns of a layer in Winograd's domain: tiles of four outputs, the last of which has what is left.
/// </summary>
/// <param name="Outputs">Outputs along the axis.</param>
internal readonly record struct WinogradAxis(int Outputs)
{
    /// <summary>Outputs of a whole tile.</summary>
    public const int TileSize = 4;

    /// <summary>Points of a whole tile where the filter has three taps along the axis.</summary>
    public const int Points = 6;

    /// <summary>Points of a whole tile where the filter has two taps along the axis.</summary>
    public const int PointsOfTwoTaps = 5;

    /// <summary>Number of tiles.</summary>
    public int Tiles => (Outputs + TileSize - 1) / TileSize;

    /// <summary>Outputs of a tile, 1 to 4.</summary>
    public int SizeOf(int tile) => Math.Min(TileSize, Outputs - TileSize * tile);

    /// <summary>How many of a range of tiles use a point, with three taps: only the last of all can be too small for it.</summary>
    /// <param name="point">0 to 5.</param>
    /// <param name="first">First tile.</param>
    /// <param name="last">The tile after the last.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Count(int point, int first, int last) => last - first - (SizeOf(last - 1) + 2 <= point ? 1 : 0);
}
