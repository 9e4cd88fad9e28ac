using RepVgg.Architectures;

namespace RepVgg.Inference.Int8;

/// <summary>
/// Memory layout of an activation map of bytes or words: [image][row][column][channel] (NHWC), with a border of one pixel on all four sides that has the zero point, so
/// that convolutions with padding 1 need no edge cases.
/// </summary>
/// <remarks>
/// Only the input of a network has a zero point other than 0 (a ReLU is the limit 0), and the step that writes it writes the border, too. The borders of other
/// maps keep the zeros from the allocation.
/// </remarks>
/// <param name="Channels">Number of channels.</param>
/// <param name="Height">Rows without the border.</param>
/// <param name="Width">Columns without the border.</param>
/// <param name="PixelElements">Elements of a pixel: the channels and unused elements after them, which are multiplied by weights of 0 and may have any value.</param>
/// <param name="ElementBytes">Bytes of an element, 1 or 2.</param>
internal readonly record struct IntegerMapLayout(int Channels, int Height, int Width, int PixelElements, int ElementBytes)
{
    // Winograd convolution reads whole tiles of 4x4 outputs, up to three rows beyond the border, and up to three pixels and a vector of words beyond the last pixel, for which there is one row
    // more. What is there must be elements from 0 to 255, because other words would overflow; the results do not depend on which.
    private int ExtraRows => (4 - Height % 4) % 4 + 1;

    /// <summary>Bytes from one pixel to the next, a multiple of 4.</summary>
    public int PixelBytes => PixelElements * ElementBytes;

    /// <summary>Bytes from one row to the next.</summary>
    public int RowBytes => (Width + 2) * PixelBytes;

    /// <summary>Bytes from one image to the next.</summary>
    public long ImageBytes => (long)RowBytes * (Height + 2 + ExtraRows);

    /// <summary>Size of the map of one image in floats.</summary>
    public long ImageFloats => ImageBytes / sizeof(float);

    /// <summary>Offset of pixel (0, 0) from the start of the map, in bytes.</summary>
    public int Origin => RowBytes + PixelBytes;

    /// <summary>Offset from the start of the map of the first pixel that a 3x3 convolution reads for output (0, 0), in bytes; 0 with padding on all sides.</summary>
    public int FirstTap(BlockSpec convolution) => (1 - convolution.PaddingTop) * RowBytes + (1 - convolution.PaddingLeft) * PixelBytes;
}
