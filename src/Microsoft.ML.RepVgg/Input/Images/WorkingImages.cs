using System.Collections.Immutable;
using System.Security.Cryptography;
using Microsoft.ML.Data;
using RepVgg.Training.Data;
using SkiaSharp;

namespace Microsoft.ML.RepVgg.Input.Images;

/// <summary>Whole images as planes (CHW) of bytes, from which the augmentation cuts parts. Large ones are reduced to a working size; the aspect ratio is kept.</summary>
/// <remarks>The colours, the background and the interpolation are those of <see cref="ImageResizer"/>. Thread-safe.</remarks>
/// <param name="workingSize">Largest length of the shorter side in pixels.</param>
/// <param name="background">Values of the background, from <see cref="ImageResizer.Background"/>.</param>
/// <param name="decoding">How encoded images are decoded.</param>
/// <param name="hashes">Whether converted images have hashes of their pixels.</param>
internal sealed class WorkingImages(int workingSize, ImmutableArray<byte> background, ImageDecoding decoding, bool hashes = false)
{
    /// <summary>Largest length of the shorter side in pixels.</summary>
    public int WorkingSize => workingSize;

    /// <summary>Gets the size to which an image is reduced; its own if its shorter side does not exceed the working size.</summary>
    /// <param name="width">Width of the image in pixels.</param>
    /// <param name="height">Height of the image in pixels.</param>
    public (int Height, int Width) SizeOf(int width, int height)
    {
        int shorter = Math.Min(width, height);
        return shorter <= workingSize ? (height, width) : (Reduced(height), Reduced(width));

        int Reduced(int side) => (int)Math.Round((double)side * workingSize / shorter);
    }

    /// <summary>Converts an image, as <see cref="ImageDecoder"/> returns it.</summary>
    public WholeImage Convert(SKBitmap image) => Convert(image.Width, image.Height, (resizer, planes) => resizer.Resize(image, planes));

    /// <summary>Converts an image, which is neither changed nor disposed.</summary>
    /// <exception cref="ImageException">The pixel format is not read.</exception>
    public WholeImage Convert(MLImage image) => Convert(image.Width, image.Height, (resizer, planes) => resizer.Resize(image, planes));

    /// <summary>Decodes and converts an image of a known size.</summary>
    /// <param name="encoded">The content of the file.</param>
    /// <param name="height">Height of the converted image in pixels.</param>
    /// <param name="width">Width of the converted image in pixels.</param>
    /// <param name="planes">Receives the planes.</param>
    /// <exception cref="ImageException">The image cannot be decoded.</exception>
    public void Decode(ReadOnlySpan<byte> encoded, int height, int width, Span<byte> planes)
    {
        using var image = ImageDecoder.Decode(encoded, decoding);
        using var resizer = ImageResizer.OfWholeImages(height, width, background);
        resizer.Resize(image, planes);
    }

    /// <summary>Decodes an image to the network's input, as for scoring.</summary>
    /// <param name="encoded">The content of the file.</param>
    /// <param name="resizer">The resizer of the network's input.</param>
    /// <param name="planes">Receives the planes.</param>
    /// <exception cref="ImageException">The image cannot be decoded.</exception>
    public void Decode(ReadOnlySpan<byte> encoded, ImageResizer resizer, Span<byte> planes)
    {
        using var image = ImageDecoder.Decode(encoded, decoding);
        resizer.Resize(image, planes);
    }

    private WholeImage Convert(int imageWidth, int imageHeight, Action<ImageResizer, byte[]> resize)
    {
        var (height, width) = SizeOf(imageWidth, imageHeight);
        byte[] planes = new byte[checked(background.Length * height * width)];
        using var resizer = ImageResizer.OfWholeImages(height, width, background);
        resize(resizer, planes);
        return new WholeImage(planes, height, width, hashes ? SHA256.HashData(planes) : null);
    }
}
