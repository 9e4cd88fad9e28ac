#nullable enable
using System.Buffers.Binary;
using System.Numerics;

namespace Microsoft.ML.Standin.Images;

/// <summary>Decodes uncompressed Windows bitmaps: 1, 4, 8, 16, 24 and 32 bits a pixel, bottom-up or top-down.</summary>
internal static class BmpDecoder
{
    private const int FileHeader = 14, NoCompression = 0, BitFields = 3, AlphaBitFields = 6;

    public static DecodedImage Decode(byte[] data)
    {
        if (data.Length < FileHeader + 40)
            throw new ImageFormatException("The BMP file ends too early.");
        int start = Int(data, 10), headerSize = Int(data, 14), width = Int(data, 18);
        long height = Int(data, 22);
        bool topDown = height < 0;
        height = Math.Abs(height);
        int bits = BinaryPrimitives.ReadUInt16LittleEndian(data.AsSpan(28)), compression = Int(data, 30);
        bool masked = compression is BitFields or AlphaBitFields;
        if (headerSize < 40 || headerSize > data.Length - FileHeader)
            throw new ImageFormatException("The BMP header has an unknown kind.");
        if (compression != NoCompression && !(masked && bits is 16 or 32))
            throw new ImageFormatException($"A BMP image with compression {compression} cannot be decoded.");
        if (bits is not (1 or 4 or 8 or 16 or 24 or 32))
            throw new ImageFormatException($"A BMP image with {bits} bits a pixel cannot be decoded.");
        DecodedImage.CheckSize(width, height);
        long stride = ((long)width * bits + 31) / 32 * 4;
        if (start < FileHeader + headerSize || start + stride * height > data.Length)
            throw new ImageFormatException("The BMP file has too little data for its size.");

        uint[] masks = Masks(data, headerSize, bits, masked);
        byte[] palette = bits <= 8 ? Palette(data, headerSize, start, 1 << bits) : [];
        var image = new DecodedImage(width, (int)height, opaque: masks[3] == 0);
        for (int y = 0; y < height; y++)
        {
            var row = data.AsSpan((int)(start + stride * (topDown ? y : height - 1 - y)), (int)stride);
            for (int x = 0; x < width; x++)
                WritePixel(row, x, bits, masks, palette, image.Pixels, 4 * (y * width + x));
        }
        return image;
    }

    private static void WritePixel(ReadOnlySpan<byte> row, int x, int bits, uint[] masks, byte[] palette, byte[] pixels, int at)
    {
        if (bits <= 8)
        {
            int perByte = 8 / bits;
            int index = (row[x / perByte] >> (8 - bits * (x % perByte + 1))) & ((1 << bits) - 1);
            DecodedImage.Put(pixels, at, palette[3 * index + 2], palette[3 * index + 1], palette[3 * index], 255);
            return;
        }
        if (bits == 24)
        {
            DecodedImage.Put(pixels, at, row[3 * x + 2], row[3 * x + 1], row[3 * x], 255);
            return;
        }
        uint value = bits == 16
            ? BinaryPrimitives.ReadUInt16LittleEndian(row[(2 * x)..])
            : BinaryPrimitives.ReadUInt32LittleEndian(row[(4 * x)..]);
        DecodedImage.Put(pixels, at, Field(value, masks[0]), Field(value, masks[1]), Field(value, masks[2]),
            masks[3] == 0 ? (byte)255 : Field(value, masks[3]));
    }

    /// <summary>Scales the bits under a mask to 0..255.</summary>
    private static byte Field(uint value, uint mask)
    {
        if (mask == 0)
            return 0;
        int shift = BitOperations.TrailingZeroCount(mask);
        ulong most = mask >> shift;
        return (byte)(((value & mask) >> shift) * 255ul / most);
    }

    private static uint[] Masks(byte[] data, int headerSize, int bits, bool masked)
    {
        if (!masked)
            return bits == 16 ? [0x7C00, 0x3E0, 0x1F, 0] : [0xFF0000, 0xFF00, 0xFF, 0];
        if (data.Length < FileHeader + 56)
            throw new ImageFormatException("The BMP file ends too early.");
        uint alpha = headerSize >= 56 ? (uint)Int(data, FileHeader + 52) : 0;
        return [(uint)Int(data, FileHeader + 40), (uint)Int(data, FileHeader + 44), (uint)Int(data, FileHeader + 48), alpha];
    }

    /// <summary>Blue, green, red of 256 entries; those that the file lacks are black.</summary>
    private static byte[] Palette(byte[] data, int headerSize, int start, int most)
    {
        int from = FileHeader + headerSize, used = Int(data, 46);
        int count = Math.Min(used > 0 ? Math.Min(used, most) : most, (start - from) / 4);
        var palette = new byte[3 * 256];
        for (int i = 0; i < count; i++)
            data.AsSpan(from + 4 * i, 3).CopyTo(palette.AsSpan(3 * i));
        return palette;
    }

    private static int Int(byte[] data, int at) => BinaryPrimitives.ReadInt32LittleEndian(data.AsSpan(at));
}
