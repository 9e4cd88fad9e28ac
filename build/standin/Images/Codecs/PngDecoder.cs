#nullable enable
using System.Buffers.Binary;
using System.IO.Compression;

namespace Microsoft.ML.Standin.Images;

/// <summary>
/// Decodes PNG images (ISO/IEC 15948): every colour type and bit depth, interlaced or not, with transparency. 16-bit
/// samples keep their high byte. Gamma and colour profiles are not applied.
/// </summary>
internal static class PngDecoder
{
    // Deflate cannot do better than 1032 bytes for one.
    private const long MaxRatio = 1032;

    // The seven passes of an interlaced image: first column, first row, column step, row step.
    private static readonly (int X, int Y, int Dx, int Dy)[] s_passes =
    [
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ];

    public static ReadOnlySpan<byte> Signature => [0x89, (byte)'P', (byte)'N', (byte)'G', 13, 10, 26, 10];

    public static DecodedImage Decode(byte[] data)
    {
        (PngHeader header, List<Range> parts) = ReadChunks(data);
        long coded = 0;
        foreach (Range part in parts)
            coded += part.GetOffsetAndLength(data.Length).Length;
        var passes = header.Interlaced ? s_passes : [(0, 0, 1, 1)];
        long raw = 0;
        foreach (var pass in passes)
        {
            (int width, int height) = PassSize(header, pass);
            raw += width == 0 ? 0 : height * (1 + RowBytes(header, width));
        }
        if (raw > MaxRatio * (coded + 16))
            throw new ImageFormatException("The PNG image has too little data for its size.");

        var image = new DecodedImage(header.Width, header.Height, header.Opaque);
        using var inflater = new ZLibStream(new PngDataStream(data, parts), CompressionMode.Decompress);
        var pixels = new PngPixels(header, image);
        foreach (var pass in passes)
            ReadPass(inflater, header, pass, pixels);
        return image;
    }

    private static (PngHeader, List<Range>) ReadChunks(byte[] data)
    {
        PngHeader? header = null;
        var parts = new List<Range>();
        int at = Signature.Length;
        bool ended = false, dataEnded = false;
        while (!ended)
        {
            if (data.Length - at < 12)
                throw new ImageFormatException("The PNG file ends too early.");
            uint length = BinaryPrimitives.ReadUInt32BigEndian(data.AsSpan(at));
            if (length > data.Length - at - 12)
                throw new ImageFormatException("The PNG file ends within a chunk.");
            var tagged = data.AsSpan(at + 4, 4 + (int)length);
            ReadOnlySpan<byte> name = tagged[..4], body = tagged[4..];
            uint crc = BinaryPrimitives.ReadUInt32BigEndian(data.AsSpan(at + 8 + (int)length));
            bool critical = (name[0] & 0x20) == 0, intact = Crc32.Compute(tagged) == crc;
            if (critical && !intact)
                throw new ImageFormatException("A PNG chunk's checksum is wrong.");
            if (header is null != name.SequenceEqual("IHDR"u8))
                throw new ImageFormatException("The PNG header is missing or comes twice.");

            bool isData = name.SequenceEqual("IDAT"u8);
            if (isData && dataEnded)
                throw new ImageFormatException("The PNG image data are not in one piece.");
            dataEnded |= parts.Count > 0 && !isData;
            if (header is null)
                header = new PngHeader(body);
            else if (isData)
                parts.Add(new Range(at + 8, at + 8 + (int)length));
            else if (name.SequenceEqual("PLTE"u8))
                header.SetPalette(body);
            else if (name.SequenceEqual("tRNS"u8) && intact && parts.Count == 0)
                header.SetTransparency(body);
            else if (name.SequenceEqual("IEND"u8))
                ended = true;
            else if (critical)
                throw new ImageFormatException("The PNG file has a critical chunk of an unknown kind.");
            at += 12 + (int)length;
        }
        if (parts.Count == 0 || header!.ColorType == PngHeader.Palette && header.Colors is null)
            throw new ImageFormatException("The PNG file has no image data or no palette.");
        return (header!, parts);
    }

    private static (int Width, int Height) PassSize(PngHeader header, (int X, int Y, int Dx, int Dy) pass)
        => ((header.Width - pass.X + pass.Dx - 1) / pass.Dx, (header.Height - pass.Y + pass.Dy - 1) / pass.Dy);

    private static long RowBytes(PngHeader header, int width) => ((long)width * header.BitsPerPixel + 7) / 8;

    private static void ReadPass(Stream inflater, PngHeader header, (int X, int Y, int Dx, int Dy) pass, PngPixels pixels)
    {
        (int width, int height) = PassSize(header, pass);
        if (width == 0 || height == 0)
            return;
        int bytes = (int)RowBytes(header, width);
        int step = Math.Max(1, header.BitsPerPixel / 8);
        byte[] row = new byte[1 + bytes], above = new byte[1 + bytes];
        for (int y = 0; y < height; y++)
        {
            Fill(inflater, row);
            PngFilters.Undo(row[0], row.AsSpan(1), above.AsSpan(1), step);
            pixels.Write(row.AsSpan(1), width, pass.X, pass.Dx, pass.Y + y * pass.Dy);
            (row, above) = (above, row);
        }
    }

    private static void Fill(Stream inflater, byte[] row)
    {
        try
        {
            inflater.ReadExactly(row);
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw new ImageFormatException("The PNG image data are damaged or end too early: " + e.Message);
        }
    }
}
