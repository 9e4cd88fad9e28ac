using RepVgg.Architectures;

namespace RepVgg.Inference.Float32;

/// <summary>
/// Memory layout of an activation map: [image][channel block][row][column][lane] (blocked NCHW), with a border of one zero
/// pixel on all four sides of each block, so that convolutions with padding 1 need no edge cases. A buffer holds maps of
/// one layout only and no step writes to the border, so it keeps the zeros from the allocation.
/// </summary>
/// <param name="Channels">Number of channels; unused lanes of the last block are zero.</param>
/// <param name="Height">Rows without the border.</param>
/// <param name="Width">Columns without the border.</param>
/// <param name="Lanes">Channels in one block: the vector width, or all channels of the input image.</param>
internal readonly record struct MapLayout(int Channels, int Height, int Width, int Lanes)
{
    /// <summary>Number of channel blocks.</summary>
    public int Blocks => (Channels + Lanes - 1) / Lanes;

    /// <summary>Floats from one row to the next.</summary>
    public int RowPitch => (Width + 2) * Lanes;

    public int RowsWithBorder => Height + 2;

    /// <summary>Floats from one channel block to the next.</summary>
    public long BlockPitch => (long)RowPitch * RowsWithBorder;

    /// <summary>Floats from one image to the next.</summary>
    public long ImagePitch => BlockPitch * Blocks;

    /// <summary>
    /// Whether the maps of a batch are likely to be evicted from the L2 cache between two layers: more than 128 Ki floats
    /// (512 KiB).
    /// </summary>
    public bool ExceedsL2Cache(int images) => images * ImagePitch > 128 << 10;

    /// <summary>Offset of pixel (0, 0) from the start of its block, in floats.</summary>
    public int Origin => RowPitch + Lanes;

    /// <summary>Offset from the start of a block of the first pixel that a 3x3 convolution reads for output (0, 0), in floats; 0 with padding on all sides.</summary>
    public int FirstTap(BlockSpec convolution) => (1 - convolution.PaddingTop) * RowPitch + (1 - convolution.PaddingLeft) * Lanes;
}
