namespace RepVgg.Inference.Execution;

/// <summary>
/// How an activation map lies in memory: [image][channel block][row][column][lane], with a border of one zero pixel around each
/// block's pixels so that convolutions need no edge cases. A buffer holds maps of one layout only, so nothing ever
/// writes to the border, and it stays as zero as it was allocated.
/// </summary>
/// <param name="Channels">Channels that carry values; the lanes above them in the last block are zero.</param>
/// <param name="Height">Rows without the border.</param>
/// <param name="Width">Columns without the border.</param>
/// <param name="Lanes">Channels in one block: the vector width, or all channels of the input image.</param>
internal readonly record struct MapLayout(int Channels, int Height, int Width, int Lanes)
{
    public int Blocks => (Channels + Lanes - 1) / Lanes;

    /// <summary>Floats from one row to the next.</summary>
    public int RowPitch => (Width + 2) * Lanes;

    public int RowsWithBorder => Height + 2;

    /// <summary>Floats from one channel block to the next.</summary>
    public long BlockPitch => (long)RowPitch * RowsWithBorder;

    /// <summary>Floats from one image to the next.</summary>
    public long ImagePitch => BlockPitch * Blocks;

    /// <summary>Whether the maps of a batch are likely to have left the second-level cache between two layers.</summary>
    public bool IsFar(int images) => images * ImagePitch > 128 << 10;

    /// <summary>Offset of pixel (0, 0) in its block.</summary>
    public int Origin => RowPitch + Lanes;
}
