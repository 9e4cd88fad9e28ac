namespace RepVgg.Inference.Layers;

/// <summary>
/// Rows or columns of a layer in Winograd's domain: tiles of four outputs, the last of which has what is left.
/// </summary>
/// <param name="Outputs">Outputs along the axis.</param>
/// <param name="Stride">1 or 2.</param>
internal readonly record struct WinogradAxis(int Outputs, int Stride)
{
    /// <summary>Outputs of a whole tile.</summary>
    public const int TileSize = 4;

    /// <summary>Different values that a filter has along the axis: at 6 points, or at 5 and its middle tap.</summary>
    public const int Slots = 6;

    /// <summary>Number of tiles.</summary>
    public int Tiles => (Outputs + TileSize - 1) / TileSize;

    /// <summary>Outputs of a tile, 1 to 4.</summary>
    public int SizeOf(int tile) => Math.Min(TileSize, Outputs - TileSize * tile);

    /// <summary>How many values of a range of tiles meet the filter's value in a slot.</summary>
    /// <param name="slot">0 to 5.</param>
    /// <param name="first">First tile.</param>
    /// <param name="last">The tile after the last.</param>
    public int Count(int slot, int first, int last)
    {
        if (IsMiddleTap(slot))
            return Math.Min(TileSize * last, Outputs) - TileSize * first;
        // Only the last tile of all can be too small to use every point.
        int samples = SizeOf(last - 1) + 3 - Stride;
        return last - first - (samples <= slot ? 1 : 0);
    }

    /// <summary>Values that one whole tile has in a slot.</summary>
    public int Step(int slot) => IsMiddleTap(slot) ? TileSize : 1;

    private bool IsMiddleTap(int slot) => Stride == 2 && slot == Slots - 1;
}
