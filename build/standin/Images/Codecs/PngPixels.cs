#nullable enable
using System.Buffers.Binary;

namespace Microsoft.ML.Standin.Images;

/// <summary>Turns the raw rows of a PNG image into pixels.</summary>
internal sealed class PngPixels
{
    private readonly PngHeader _header;
    private readonly DecodedImage _image;
    private readonly byte[] _palette;
    private readonly int _clearRed = -1, _clearGreen = -1, _clearBlue = -1;

    public PngPixels(PngHeader header, DecodedImage image)
    {
        _header = header;
        _image = image;
        _palette = header.ColorType == PngHeader.Palette ? MakePalette(header) : [];
        if (header.Transparency is { } clear && header.ColorType is (PngHeader.Gray or PngHeader.Rgb))
        {
            // Only the bits that a sample has count.
            int mask = (1 << header.BitDepth) - 1;
            _clearRed = BinaryPrimitives.ReadUInt16BigEndian(clear) & mask;
            if (header.ColorType == PngHeader.Rgb)
            {
                _clearGreen = BinaryPrimitives.ReadUInt16BigEndian(clear.AsSpan(2)) & mask;
                _clearBlue = BinaryPrimitives.ReadUInt16BigEndian(clear.AsSpan(4)) & mask;
            }
        }
    }

    /// <summary>Writes <paramref name="count"/> pixels of a raw row to the columns x, x + dx, ... of row y.</summary>
    public void Write(ReadOnlySpan<byte> row, int count, int x, int dx, int y)
    {
        byte[] pixels = _image.Pixels;
        int at = 4 * (y * _image.Width + x), step = 4 * dx;
        int wide = _header.BitDepth == 16 ? 2 : 1;
        for (int i = 0; i < count; i++, at += step)
        {
            switch (_header.ColorType)
            {
                case PngHeader.Palette:
                    _palette.AsSpan(4 * Packed(row, i), 4).CopyTo(pixels.AsSpan(at, 4));
                    break;
                case PngHeader.Gray:
                    WriteGray(row, i, pixels, at);
                    break;
                case PngHeader.GrayAlpha:
                    byte light = row[2 * wide * i];
                    DecodedImage.Put(pixels, at, light, light, light, row[2 * wide * i + wide]);
                    break;
                case PngHeader.Rgb:
                    WriteRgb(row[(3 * wide * i)..], wide, pixels, at);
                    break;
                default:
                    int from = 4 * wide * i;
                    DecodedImage.Put(pixels, at, row[from], row[from + wide], row[from + 2 * wide], row[from + 3 * wide]);
                    break;
            }
        }
    }

    private void WriteGray(ReadOnlySpan<byte> row, int i, byte[] pixels, int at)
    {
        int depth = _header.BitDepth;
        int value = depth == 16 ? BinaryPrimitives.ReadUInt16BigEndian(row[(2 * i)..]) : Packed(row, i);
        byte light = (byte)(depth == 16 ? value >> 8 : value * 255 / ((1 << depth) - 1));
        DecodedImage.Put(pixels, at, light, light, light, value == _clearRed ? (byte)0 : (byte)255);
    }

    private void WriteRgb(ReadOnlySpan<byte> pixel, int wide, byte[] pixels, int at)
    {
        bool clear = _clearRed >= 0 && Sample(pixel, 0, wide) == _clearRed && Sample(pixel, 1, wide) == _clearGreen
            && Sample(pixel, 2, wide) == _clearBlue;
        DecodedImage.Put(pixels, at, pixel[0], pixel[wide], pixel[2 * wide], clear ? (byte)0 : (byte)255);
    }

    private static int Sample(ReadOnlySpan<byte> pixel, int channel, int wide)
        => wide == 1 ? pixel[channel] : BinaryPrimitives.ReadUInt16BigEndian(pixel[(2 * channel)..]);

    /// <summary>The i-th sample of a row with 1, 2, 4 or 8 bits a sample; the first one is in the highest bits.</summary>
    private int Packed(ReadOnlySpan<byte> row, int i)
    {
        int depth = _header.BitDepth;
        int perByte = 8 / depth;
        int shift = 8 - depth * (i % perByte + 1);
        return (row[i / perByte] >> shift) & ((1 << depth) - 1);
    }

    /// <summary>256 ready pixels; an index past the palette's end takes its last colour.</summary>
    private static byte[] MakePalette(PngHeader header)
    {
        byte[] colors = header.Colors!, alphas = header.Transparency ?? [];
        var table = new byte[4 * 256];
        for (int i = 0; i < 256; i++)
        {
            int from = Math.Min(i, colors.Length / 3 - 1);
            DecodedImage.Put(table, 4 * i, colors[3 * from], colors[3 * from + 1], colors[3 * from + 2],
                from < alphas.Length ? alphas[from] : (byte)255);
        }
        return table;
    }
}
