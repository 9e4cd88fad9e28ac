using RepVgg.Architectures;

namespace RepVgg.Inference.Float32;

/// <summary>
/// Memory layout of an activation map: [image][channel block][row][column][lane] (blocked NCHW), with a border of one zero
/// pixel on all four sides of each block, so that convolutions with padding 1 need no edge cases. A buffer holds maps of
/// one layout only and no step writes to the border, so it keeps the zeros from the allocation.
/// </summary>
/// <remarks>
/// For convolutions whose taps are D pixels apart, the map is divided into D * D parts, which take the place of images: part (i, j) has the pixels (i + D * y, j + D * x). In each part, such a convolution is one with
/// adjacent taps. If D does not divide the size of the map, the last row or column of some parts is unused; it must be zero like the border.
/// </remarks>
/// <param name="Channels">Number of channels; unused lanes of the last block are zero.</param>
/// <param name="Height">Rows of the map, or of one of its parts, without the border.</param>
/// <param name="Width">Columns of the map, or of one of its parts, without the border.</param>
/// <param name="Lanes">Channels in one block: the vector width, or all channels of the input image.</param>
internal readonly record struct MapLayout(int Channels, int Height, int Width, int Lanes)
{
    /// <summary>Creates the layout of a map that is divided into parts.</summary>
    /// <param name="channels">Number of channels.</param>
    /// <param name="height">Rows of the whole map.</param>
    /// <param name="width">Columns of the whole map.</param>
    /// <param name="lanes">Channels in one block.</param>
    /// <param name="dilation">Distance of the taps, D; 1 for a map that is not divided.</param>
    public static MapLayout Divided(int channels, int height, int width, int lanes, int dilation) =>
        new(channels, (height + dilation - 1) / dilation, (width + dilation - 1) / dilation, lanes) { Dilation = dilation, UnusedRows = (dilation - height % dilation) % dilation, UnusedColumns = (dilation - width % dilation) % dilation };

    /// <summary>Distance in the map of pixels that are adjacent in a part, D.</summary>
    public int Dilation { get; init; } = 1;

    /// <summary>Number of rows by which the map is shorter than all rows of its parts: the parts of so many rows, counted from the last, do not use their last row.</summary>
    public int UnusedRows { get; init; }

    /// <summary>Number of columns by which the map is narrower than all columns of its parts.</summary>
    public int UnusedColumns { get; init; }

    /// <summary>Number of parts.</summary>
    public int Parts => Dilation * Dilation;

    /// <summary>Rows of the whole map.</summary>
    public int WholeHeight => Height * Dilation - UnusedRows;

    /// <summary>Columns of the whole map.</summary>
    public int WholeWidth => Width * Dilation - UnusedColumns;

    /// <summary>Floats of the whole map of an image.</summary>
    public long Floats => ImagePitch * Parts;

    /// <summary>Sets the last row and the last column of a channel block to zero, if its part does not use them.</summary>
    /// <param name="block">Pixel (0, 0) of the block.</param>
    /// <param name="part">Number of the part, 0 to <see cref="Parts"/> - 1.</param>
    public unsafe void ClearUnused(float* block, int part)
    {
        var (top, left) = Math.DivRem(part, Dilation);
        if (top >= Dilation - UnusedRows)
            new Span<float>(block + (Height - 1L) * RowPitch, Width * Lanes).Clear();
        for (int y = 0; left >= Dilation - UnusedColumns && y < Height; y++)
            new Span<float>(block + y * (long)RowPitch + (Width - 1L) * Lanes, Lanes).Clear();
    }

    /// <summary>Number of channel blocks.</summary>
    public int Blocks => (Channels + Lanes - 1) / Lanes;

    /// <summary>Floats from one row to the next.</summary>
    public int RowPitch => (Width + 2) * Lanes;

    public int RowsWithBorder => Height + 2;

    /// <summary>Floats from one channel block to the next.</summary>
    public long BlockPitch => (long)RowPitch * RowsWithBorder;

    /// <summary>Floats from one image, or one part of an image, to the next.</summary>
    public long ImagePitch => BlockPitch * Blocks;

    /// <summary>
    /// Whether the maps of a batch are likely to be evicted from the L2 cache between two layers: more than 128 Ki floats
    /// (512 KiB).
    /// </summary>
    public bool ExceedsL2Cache(int images) => images * Floats > 128 << 10;

    /// <summary>Offset of pixel (0, 0) from the start of its block, in floats.</summary>
    public int Origin => RowPitch + Lanes;

    /// <summary>Offset from the start of a block of the first pixel that a 3x3 convolution reads for output (0, 0), in floats; 0 with padding on all sides.</summary>
    public int FirstTap(BlockSpec convolution) => (1 - convolution.PaddingTop) * RowPitch + (1 - convolution.PaddingLeft) * Lanes;
}
