using System.Buffers.Binary;
using System.Drawing;
using System.IO.Compression;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Weights.PyTorch;

namespace Microsoft.ML.RepVgg.Segmentation;

/// <summary>Reads the labels of pixels from PNG files: the value of a grey pixel or the index of a palette, which image decoders replace by its colour, or the class of a colour.</summary>
/// <remarks>Source: W3C, "Portable Network Graphics (PNG) Specification (Third Edition)", 2025.</remarks>
internal static class MaskImage
{
    private const int Grey = 0, TrueColour = 2, Palette = 3, GreyWithAlpha = 4, TrueColourWithAlpha = 6;
    private const int HeaderLength = 13, ChunkOverhead = 12;

    private static ReadOnlySpan<byte> Signature => [0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A];

    /// <summary>Reads a mask.</summary>
    /// <param name="encoded">The content of the file.</param>
    /// <param name="maximumPixels">Largest number of pixels, which is checked before memory is allocated.</param>
    /// <param name="colours">The class of each colour, for masks in colours; null for masks of values or indices.</param>
    /// <returns>The label of each pixel, row by row, and the size.</returns>
    /// <exception cref="ImageException">The file is no mask, or is damaged; the message says what to do.</exception>
    public static (byte[] Labels, int Height, int Width) Read(ReadOnlySpan<byte> encoded, long maximumPixels, IReadOnlyDictionary<Color, byte>? colours)
    {
        if (encoded.IsEmpty)
            throw new ImageException("the file is empty");
        if (!encoded.StartsWith(Signature))
        {
            throw new ImageException(encoded.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xD8])
                ? "it is a JPEG file, whose compression changes the values of pixels; masks are PNG files"
                : "it is not a PNG file");
        }
        var header = new Header();
        byte[]? palette = null;
        using var compressed = new MemoryStream();
        bool isComplete = false;
        for (var rest = encoded[Signature.Length..]; !isComplete;)
        {
            uint length = rest.Length < ChunkOverhead ? uint.MaxValue : BinaryPrimitives.ReadUInt32BigEndian(rest);
            if (length > rest.Length - ChunkOverhead)
                throw new ImageException("the PNG file is cut off");
            var type = rest.Slice(4, 4);
            var data = rest.Slice(8, (int)length);
            var checksum = new Crc32();
            checksum.Append(rest[4..(8 + (int)length)]);
            if (checksum.Value != BinaryPrimitives.ReadUInt32BigEndian(rest[(8 + (int)length)..]))
                throw new ImageException("the PNG file is damaged: the checksum of a part is wrong");
            if (type.SequenceEqual("IHDR"u8))
                header = Header.Read(data, maximumPixels, hasColours: colours is not null);
            else if (type.SequenceEqual("PLTE"u8))
                palette = data.ToArray();
            else if (type.SequenceEqual("IDAT"u8))
                compressed.Write(data);
            isComplete = type.SequenceEqual("IEND"u8);
            rest = rest[(ChunkOverhead + (int)length)..];
        }
        if (header.Width == 0 || compressed.Length == 0)
            throw new ImageException("the PNG file is damaged: it has no pixels");
        compressed.Position = 0;
        byte[] labels = new byte[header.Width * header.Height];
        var colourOf = colours is null ? null : MaskColorTable.Create(colours);
        using var stream = new ZLibStream(compressed, CompressionMode.Decompress);
        byte[] row = new byte[header.RowLength], above = new byte[header.RowLength];
        for (int y = 0; y < header.Height; y++)
        {
            (row, above) = (above, row);
            ReadRow(stream, row, above, header.PixelLength);
            var target = labels.AsSpan(y * header.Width, header.Width);
            if (colourOf is null)
                header.Unpack(row, target);
            else
                Colours.Convert(header, row, palette, colourOf, y, target);
        }
        return (labels, header.Height, header.Width);
    }

    /// <summary>Writes a mask as a PNG file with a palette, whose indices are the labels.</summary>
    /// <param name="labels">The label of each pixel, row by row.</param>
    /// <param name="height">Height in pixels.</param>
    /// <param name="width">Width in pixels.</param>
    /// <param name="colours">The colour of each label.</param>
    /// <returns>The content of the file.</returns>
    public static byte[] Write(ReadOnlySpan<byte> labels, int height, int width, IReadOnlyList<Color> colours)
    {
        const int Depth = 8;
        using var file = new MemoryStream();
        file.Write(Signature);
        byte[] header = new byte[HeaderLength];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
        (header[8], header[9]) = (Depth, Palette);
        WriteChunk(file, "IHDR"u8, header);
        WriteChunk(file, "PLTE"u8, [.. colours.SelectMany(colour => (byte[])[colour.R, colour.G, colour.B])]);
        using (var compressed = new MemoryStream())
        {
            using (var stream = new ZLibStream(compressed, CompressionLevel.Optimal, leaveOpen: true))
            {
                for (int y = 0; y < height; y++)
                {
                    // No filter: neighbouring indices are no close values.
                    stream.WriteByte(0);
                    stream.Write(labels.Slice(y * width, width));
                }
            }
            WriteChunk(file, "IDAT"u8, compressed.ToArray());
        }
        WriteChunk(file, "IEND"u8, []);
        return file.ToArray();
    }

    private static void WriteChunk(MemoryStream file, ReadOnlySpan<byte> type, ReadOnlySpan<byte> data)
    {
        byte[] number = new byte[sizeof(uint)];
        BinaryPrimitives.WriteInt32BigEndian(number, data.Length);
        file.Write(number);
        file.Write(type);
        file.Write(data);
        var checksum = new Crc32();
        checksum.Append(type);
        checksum.Append(data);
        BinaryPrimitives.WriteUInt32BigEndian(number, checksum.Value);
        file.Write(number);
    }

    /// <summary>Reads a row and undoes its filter (section 9 of the specification).</summary>
    private static void ReadRow(Stream stream, Span<byte> row, ReadOnlySpan<byte> above, int pixelLength)
    {
        int filter;
        try
        {
            filter = stream.ReadByte();
            stream.ReadExactly(row);
        }
        catch (Exception error) when (error is InvalidDataException or EndOfStreamException)
        {
            throw new ImageException("the PNG file is damaged: its pixels cannot be decompressed");
        }
        for (int i = 0; i < row.Length; i++)
        {
            int left = i >= pixelLength ? row[i - pixelLength] : 0, upper = above[i], corner = i >= pixelLength ? above[i - pixelLength] : 0;
            row[i] += (byte)(filter switch
            {
                0 => 0,
                1 => left,
                2 => upper,
                3 => (left + upper) / 2,
                4 => Paeth(left, upper, corner),
                _ => throw new ImageException("the PNG file is damaged: a row has an unknown filter"),
            });
        }

        static int Paeth(int left, int upper, int corner)
        {
            int estimate = left + upper - corner;
            int toLeft = Math.Abs(estimate - left), toUpper = Math.Abs(estimate - upper), toCorner = Math.Abs(estimate - corner);
            return toLeft <= toUpper && toLeft <= toCorner ? left : toUpper <= toCorner ? upper : corner;
        }
    }

    /// <summary>The header of a file whose pixels are read.</summary>
    private readonly record struct Header(int Width, int Height, int Depth, int Type)
    {
        private int Channels => Type switch { TrueColour => 3, GreyWithAlpha => 2, TrueColourWithAlpha => 4, _ => 1 };

        /// <summary>Number of bytes from a pixel to the next one, at least 1.</summary>
        public int PixelLength => Math.Max(1, Channels * Depth / 8);

        /// <summary>Number of bytes of a row without its filter.</summary>
        public int RowLength => (int)(((long)Width * Channels * Depth + 7) / 8);

        public static Header Read(ReadOnlySpan<byte> data, long maximumPixels, bool hasColours)
        {
            if (data.Length != HeaderLength)
                throw new ImageException("the PNG file is damaged: its header has a wrong length");
            uint width = BinaryPrimitives.ReadUInt32BigEndian(data), height = BinaryPrimitives.ReadUInt32BigEndian(data[4..]);
            var (depth, type) = (data[8], data[9]);
            if (width == 0 || height == 0 || (ulong)width * height > (ulong)maximumPixels)
                throw new ImageException(FormattableString.Invariant($"the mask has {width} x {height} pixels, not between 1 and the limit of {maximumPixels:N0}"));
            if (data[12] != 0)
                throw new ImageException("the PNG file is interlaced, which is not read for masks; save it without interlacing");
            bool isColour = type is TrueColour or TrueColourWithAlpha;
            if (isColour && !hasColours)
                throw new ImageException("the mask has colours and not the values of classes. Give MaskColors, the class of each colour, or convert it to a PNG file of grey values or with a palette, whose values or indices are the classes");
            if (type is not (Grey or TrueColour or Palette or GreyWithAlpha or TrueColourWithAlpha) || (type is Grey or Palette ? depth is not (1 or 2 or 4 or 8) : depth != 8))
                throw new ImageException($"the mask has {depth} bits per value; up to 8 are read. Convert it to a PNG file of 8 bits");
            return new Header((int)width, (int)height, depth, type);
        }

        /// <summary>Gets the first value of each pixel: the grey value, the index of the palette, or red.</summary>
        public void Unpack(ReadOnlySpan<byte> row, Span<byte> values)
        {
            for (int x = 0; x < values.Length; x++)
            {
                int bit = x * Depth;
                values[x] = Depth == 8 ? row[x * PixelLength] : (byte)(row[bit / 8] >> (8 - Depth - bit % 8) & ((1 << Depth) - 1));
            }
        }

        /// <summary>Gets the colour of a pixel as 0xRRGGBB.</summary>
        public int ColourOf(ReadOnlySpan<byte> row, ReadOnlySpan<byte> values, int x, byte[]? palette)
        {
            switch (Type)
            {
                case TrueColour or TrueColourWithAlpha:
                    return row[x * PixelLength] << 16 | row[x * PixelLength + 1] << 8 | row[x * PixelLength + 2];
                case Palette:
                    int entry = 3 * values[x];
                    return palette is not null && entry + 2 < palette.Length
                        ? palette[entry] << 16 | palette[entry + 1] << 8 | palette[entry + 2]
                        : throw new ImageException($"the PNG file is damaged: its palette has no colour {values[x]}");
                default:
                    int grey = values[x] * byte.MaxValue / ((1 << Depth) - 1);
                    return grey << 16 | grey << 8 | grey;
            }
        }
    }

    /// <summary>Converts colours to classes.</summary>
    private static class Colours
    {
        public static void Convert(Header header, ReadOnlySpan<byte> row, byte[]? palette, Dictionary<int, byte> classOf, int y, Span<byte> labels)
        {
            byte[] values = new byte[labels.Length];
            header.Unpack(row, values);
            for (int x = 0; x < labels.Length; x++)
            {
                int colour = header.ColourOf(row, values, x, palette);
                if (!classOf.TryGetValue(colour, out labels[x]))
                    throw new ImageException($"the pixel in column {x} and row {y} has the colour ({colour >> 16}, {colour >> 8 & byte.MaxValue}, {colour & byte.MaxValue}), for which MaskColors has no class");
            }
        }
    }
}
