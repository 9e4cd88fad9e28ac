using SkiaSharp;

namespace Microsoft.ML.RepVgg.Input.Images;

/// <summary>Encodes images as PNG.</summary>
internal static class PngImage
{
    /// <summary>Encodes an image.</summary>
    /// <param name="planes">The pixels: planes (CHW) of red, green and blue, or one plane of grey.</param>
    /// <param name="width">Width in pixels.</param>
    /// <param name="height">Height in pixels.</param>
    /// <returns>The content of the file.</returns>
    public static unsafe byte[] Encode(ReadOnlySpan<byte> planes, int width, int height)
    {
        const int Quality = 100; // without meaning for PNG
        int area = width * height;
        bool isGrey = planes.Length == area;
        fixed (byte* pixels = isGrey ? planes : Interleave(planes, area))
        {
            using var image = new SKPixmap(new SKImageInfo(width, height, isGrey ? SKColorType.Gray8 : SKColorType.Rgba8888, SKAlphaType.Opaque), (nint)pixels);
            using var encoded = image.Encode(SKEncodedImageFormat.Png, Quality);
            return encoded.ToArray();
        }
    }

    private static byte[] Interleave(ReadOnlySpan<byte> planes, int area)
    {
        const int BytesPerPixel = 4;
        byte[] pixels = new byte[BytesPerPixel * area];
        for (int i = 0; i < area; i++)
        {
            var pixel = pixels.AsSpan(BytesPerPixel * i, BytesPerPixel);
            (pixel[0], pixel[1], pixel[2], pixel[3]) = (planes[i], planes[area + i], planes[2 * area + i], byte.MaxValue);
        }
        return pixels;
    }
}
