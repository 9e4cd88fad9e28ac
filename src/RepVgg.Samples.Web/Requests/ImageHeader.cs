using SkiaSharp;

namespace RepVgg.Samples.Web.Requests;

/// <summary>What the beginning of an image file says.</summary>
internal static class ImageHeader
{
    /// <summary>Whether the file has one of the formats that are read. It can be damaged all the same.</summary>
    public static bool HasKnownFormat(ReadOnlySpan<byte> image) =>
        image.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xD8, 0xFF])
        || image.StartsWith((ReadOnlySpan<byte>)[0x89, (byte)'P', (byte)'N', (byte)'G'])
        || image.StartsWith("GIF8"u8)
        || image.StartsWith("BM"u8)
        || (image.StartsWith("RIFF"u8) && image.Length >= 12 && image[8..12].SequenceEqual("WEBP"u8));

    /// <summary>Reads the size of an image as it is shown: with its EXIF orientation.</summary>
    /// <returns>The size; null if the image cannot be opened.</returns>
    public static ImageSize? ReadSize(byte[] image)
    {
        using var codec = SKCodec.Create(new MemoryStream(image));
        if (codec is null)
            return null;
        bool isTurned = codec.EncodedOrigin is SKEncodedOrigin.LeftTop or SKEncodedOrigin.RightTop or SKEncodedOrigin.RightBottom or SKEncodedOrigin.LeftBottom;
        return isTurned ? new ImageSize(codec.Info.Height, codec.Info.Width) : new ImageSize(codec.Info.Width, codec.Info.Height);
    }
}
