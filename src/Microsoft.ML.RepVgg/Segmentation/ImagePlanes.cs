using System.Drawing;
using Microsoft.ML.RepVgg.Input.Images;

namespace Microsoft.ML.RepVgg.Segmentation;

/// <summary>Reads whole images.</summary>
internal static class ImagePlanes
{
    /// <summary>Reads the colours of an image, on white where it is transparent.</summary>
    /// <param name="encodedImage">The content of the file.</param>
    /// <param name="height">Receives the height in pixels.</param>
    /// <param name="width">Receives the width in pixels.</param>
    /// <param name="decoding">How the image is decoded; null for the defaults.</param>
    /// <returns>Planes (CHW) of red, green and blue.</returns>
    /// <exception cref="InvalidDataException">The image cannot be decoded.</exception>
    public static byte[] Read(byte[] encodedImage, out int height, out int width, ImageDecoding? decoding = null)
    {
        var (planes, rows, columns) = Read(encodedImage, size: null, decoding ?? new ImageDecoding());
        (height, width) = (rows, columns);
        return planes;
    }

    /// <summary>Reads the colours of an image, resized to a size.</summary>
    /// <param name="encodedImage">The content of the file.</param>
    /// <param name="height">Height of the result in pixels.</param>
    /// <param name="width">Width of the result in pixels.</param>
    /// <param name="decoding">How the image is decoded.</param>
    /// <returns>Planes (CHW) of red, green and blue.</returns>
    /// <exception cref="InvalidDataException">The image cannot be decoded.</exception>
    public static byte[] Read(byte[] encodedImage, int height, int width, ImageDecoding decoding) => Read(encodedImage, (height, width), decoding).Planes;

    private static (byte[] Planes, int Height, int Width) Read(byte[] encodedImage, (int Height, int Width)? size, ImageDecoding decoding)
    {
        try
        {
            using var image = ImageDecoder.Decode(encodedImage, decoding);
            var (height, width) = size ?? (image.Height, image.Width);
            byte[] planes = new byte[3 * height * width];
            using var resizer = ImageResizer.OfWholeImages(height, width, ImageResizer.Background(Color.White, 3));
            resizer.Resize(image, planes);
            return (planes, height, width);
        }
        catch (ImageException error)
        {
            throw new InvalidDataException($"The image cannot be read: {error.Message}.", error);
        }
        catch (Exception error) when (MissingDecoder.IsCauseOf(error))
        {
            throw MissingDecoder.Explain(error);
        }
    }
}
