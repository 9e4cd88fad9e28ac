#nullable enable
namespace Microsoft.ML.Standin.Images;

/// <summary>One colour component of a JPEG frame and its coefficients.</summary>
internal sealed class JpegComponent(byte id, int horizontal, int vertical, int quantization)
{
    public byte Id { get; } = id;

    /// <summary>Sampling factors: how many blocks of it an MCU of an interleaved scan has, across and down.</summary>
    public int Horizontal { get; } = horizontal;

    public int Vertical { get; } = vertical;

    public int QuantizationTable { get; } = quantization;

    /// <summary>Size in samples, as the frame's size and the sampling factors give it.</summary>
    public int Width { get; private set; }

    public int Height { get; private set; }

    /// <summary>Blocks that hold samples; a scan of this component alone codes just these.</summary>
    public int BlocksWide => (Width + 7) / 8;

    public int BlocksHigh => (Height + 7) / 8;

    /// <summary>Blocks across and down, whole MCUs: what is kept.</summary>
    public int Stride { get; private set; }

    public int Rows { get; private set; }

    /// <summary>64 coefficients a block, in natural (row by row) order, not yet dequantized.</summary>
    public short[] Coefficients { get; private set; } = [];

    /// <summary>The quantization table as it was when the first scan of the component began, in natural order.</summary>
    public ushort[]? Quantization { get; set; }

    /// <summary>The last DC value, of which the next is coded as a difference.</summary>
    public int Predicted { get; set; }

    public void SetSize(int width, int height, int mcusWide, int mcusHigh)
    {
        (Width, Height) = (width, height);
        (Stride, Rows) = (mcusWide * Horizontal, mcusHigh * Vertical);
    }

    public void Allocate() => Coefficients = new short[64 * Stride * Rows];

    public Span<short> Block(int row, int column) => Coefficients.AsSpan(64 * (row * Stride + column), 64);
}
