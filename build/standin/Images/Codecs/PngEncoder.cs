#nullable enable
using System.Buffers.Binary;
using System.IO.Compression;

namespace Microsoft.ML.Standin.Images;

/// <summary>Writes PNG images with 8 bits a sample: RGB where the image is opaque, RGBA otherwise.</summary>
internal static class PngEncoder
{
    /// <summary>Writes an image; <paramref name="pixels"/> are blue, green, red, alpha, not multiplied by alpha.</summary>
    public static void Write(Stream stream, int width, int height, ReadOnlySpan<byte> pixels, bool opaque)
    {
        stream.Write(PngDecoder.Signature);
        Span<byte> header = stackalloc byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header[4..], height);
        header[8] = 8;
        header[9] = opaque ? (byte)PngHeader.Rgb : (byte)PngHeader.Rgba;
        WriteChunk(stream, "IHDR"u8, header);
        WriteChunk(stream, "IDAT"u8, Deflate(width, height, pixels, opaque ? 3 : 4));
        WriteChunk(stream, "IEND"u8, []);
    }

    private static byte[] Deflate(int width, int height, ReadOnlySpan<byte> pixels, int channels)
    {
        using var coded = new MemoryStream();
        using (var deflater = new ZLibStream(coded, CompressionLevel.Optimal, leaveOpen: true))
        {
            byte[] row = new byte[1 + channels * width], raw = new byte[channels * width], above = new byte[channels * width];
            for (int y = 0; y < height; y++)
            {
                for (int x = 0; x < width; x++)
                {
                    ReadOnlySpan<byte> pixel = pixels.Slice(4 * (y * width + x), 4);
                    int at = channels * x;
                    (raw[at], raw[at + 1], raw[at + 2]) = (pixel[2], pixel[1], pixel[0]);
                    if (channels == 4)
                        raw[at + 3] = pixel[3];
                }
                // The difference from the row above suits photographs and drawings alike.
                row[0] = 2;
                for (int i = 0; i < raw.Length; i++)
                    row[1 + i] = (byte)(raw[i] - above[i]);
                deflater.Write(row);
                (raw, above) = (above, raw);
            }
        }
        return coded.ToArray();
    }

    private static void WriteChunk(Stream stream, ReadOnlySpan<byte> name, ReadOnlySpan<byte> body)
    {
        Span<byte> number = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, body.Length);
        stream.Write(number);
        byte[] tagged = [.. name, .. body];
        stream.Write(tagged);
        BinaryPrimitives.WriteUInt32BigEndian(number, Crc32.Compute(tagged));
        stream.Write(number);
    }
}
