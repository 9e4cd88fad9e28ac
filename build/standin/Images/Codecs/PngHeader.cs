#nullable enable
using System.Buffers.Binary;

namespace Microsoft.ML.Standin.Images;

/// <summary>How the pixels of a PNG image are coded (its IHDR, PLTE and tRNS chunks).</summary>
internal sealed class PngHeader
{
    public const int Gray = 0, Rgb = 2, Palette = 3, GrayAlpha = 4, Rgba = 6;

    private const int MaxSide = 1_000_000;

    public PngHeader(ReadOnlySpan<byte> chunk)
    {
        if (chunk.Length != 13)
            throw new ImageFormatException("The PNG header has a wrong length.");
        uint width = BinaryPrimitives.ReadUInt32BigEndian(chunk);
        uint height = BinaryPrimitives.ReadUInt32BigEndian(chunk[4..]);
        if (width > MaxSide || height > MaxSide)
            throw new ImageFormatException($"The PNG image is too large: {width} x {height} pixels.");
        DecodedImage.CheckSize(width, height);
        Width = (int)width;
        Height = (int)height;
        BitDepth = chunk[8];
        ColorType = chunk[9];
        Interlaced = chunk[12] == 1;
        bool allowed = ColorType switch
        {
            Gray => BitDepth is 1 or 2 or 4 or 8 or 16,
            Palette => BitDepth is 1 or 2 or 4 or 8,
            Rgb or GrayAlpha or Rgba => BitDepth is 8 or 16,
            _ => false,
        };
        if (!allowed)
            throw new ImageFormatException($"A PNG image of colour type {ColorType} cannot have {BitDepth} bits a sample.");
        if (chunk[10] != 0 || chunk[11] != 0 || chunk[12] > 1)
            throw new ImageFormatException("The PNG image uses an unknown compression, filter or interlace method.");
    }

    public int Width { get; }

    public int Height { get; }

    public int BitDepth { get; }

    public int ColorType { get; }

    public bool Interlaced { get; }

    public int BitsPerPixel => BitDepth * ColorType switch { Rgb => 3, GrayAlpha => 2, Rgba => 4, _ => 1 };

    /// <summary>Red, green, blue of every palette entry.</summary>
    public byte[]? Colors { get; private set; }

    /// <summary>The tRNS chunk: alphas of the palette's first entries, or the samples of the one transparent colour.</summary>
    public byte[]? Transparency { get; private set; }

    public bool Opaque => ColorType is not (GrayAlpha or Rgba) && Transparency is null;

    public void SetPalette(ReadOnlySpan<byte> chunk)
    {
        if (ColorType is Gray or GrayAlpha || Colors is not null || chunk.Length == 0 || chunk.Length % 3 != 0 || chunk.Length > 768)
            throw new ImageFormatException("The PNG palette is misplaced or has a wrong length.");
        Colors = chunk.ToArray();
    }

    /// <summary>Takes a tRNS chunk; one that does not fit is ignored, as other readers do.</summary>
    public void SetTransparency(ReadOnlySpan<byte> chunk)
    {
        bool fits = ColorType switch
        {
            Gray => chunk.Length == 2,
            Rgb => chunk.Length == 6,
            Palette => Colors is not null && chunk.Length > 0 && chunk.Length <= Colors.Length / 3,
            _ => false,
        };
        if (fits && Transparency is null)
            Transparency = chunk.ToArray();
    }
}
