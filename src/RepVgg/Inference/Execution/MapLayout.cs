namespace RepVgg.Inference.Execution;

/// <summary>
/// How an activation map lies in memory: [image][channel block][row][column][lane], with a zero border around each
/// block's pixels so that convolutions need no edge cases.
/// </summary>
/// <param name="Channels">Channels that carry values; the lanes above them in the last block are zero.</param>
/// <param name="Height">Rows without the border.</param>
/// <param name="Width">Columns without the border.</param>
/// <param name="Lanes">Channels in one block: the vector width, or all channels of the input image.</param>
/// <param name="BorderBottom">Zero rows below; one row stands above.</param>
/// <param name="BorderRight">Zero columns to the right; one column stands to the left.</param>
internal readonly record struct MapLayout(int Channels, int Height, int Width, int Lanes, int BorderBottom = 1, int BorderRight = 1)
{
    public int Blocks => (Channels + Lanes - 1) / Lanes;

    /// <summary>Floats from one row to the next.</summary>
    public int RowPitch => (Width + 1 + BorderRight) * Lanes;

    public int RowsWithBorder => Height + 1 + BorderBottom;

    /// <summary>Floats from one channel block to the next.</summary>
    public long BlockPitch => (long)RowPitch * RowsWithBorder;

    /// <summary>Floats from one image to the next.</summary>
    public long ImagePitch => BlockPitch * Blocks;

    /// <summary>Offset of pixel (0, 0) in its block.</summary>
    public int Origin => RowPitch + Lanes;

    /// <summary>Clears the border left and right of rows [first, last), and above or below where the range touches the edge.</summary>
    /// <param name="block">Start of the channel block, border included.</param>
    /// <param name="first">First row.</param>
    /// <param name="last">Row after the last.</param>
    public unsafe void ClearBorder(float* block, int first, int last)
    {
        if (first == 0)
            new Span<float>(block, RowPitch).Clear();
        for (int row = first; row < last; row++)
        {
            float* start = block + (long)(row + 1) * RowPitch;
            new Span<float>(start, Lanes).Clear();
            new Span<float>(start + (Width + 1) * Lanes, BorderRight * Lanes).Clear();
        }
        if (last == Height)
            new Span<float>(block + (long)(Height + 1) * RowPitch, BorderBottom * RowPitch).Clear();
    }

    /// <summary>Clears the border beside a rectangle of pixels, where it touches the map's edges.</summary>
    /// <param name="block">Start of the channel block, border included.</param>
    /// <param name="y">First row of the rectangle.</param>
    /// <param name="rows">Its height.</param>
    /// <param name="x">First column of the rectangle.</param>
    /// <param name="columns">Its width.</param>
    public unsafe void ClearBorderBeside(float* block, int y, int rows, int x, int columns)
    {
        int left = x == 0 ? 0 : x + 1, right = x + columns == Width ? Width + 1 + BorderRight : x + columns + 1;
        if (y == 0)
            new Span<float>(block + left * Lanes, (right - left) * Lanes).Clear();
        for (int row = y + 1; row <= y + rows && x == 0; row++)
            new Span<float>(block + (long)row * RowPitch, Lanes).Clear();
        for (int row = y + 1; row <= y + rows && x + columns == Width; row++)
            new Span<float>(block + (long)row * RowPitch + (Width + 1) * Lanes, BorderRight * Lanes).Clear();
        for (int row = Height + 1; row < RowsWithBorder && y + rows == Height; row++)
            new Span<float>(block + (long)row * RowPitch + left * Lanes, (right - left) * Lanes).Clear();
    }
}
