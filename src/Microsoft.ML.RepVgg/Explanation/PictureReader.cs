using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Input.Images;
using SkiaSharp;

namespace Microsoft.ML.RepVgg.Explanation;

/// <summary>Brings single images to the input of a network, as the readers of columns do.</summary>
/// <param name="input">Description of the input column, which contains images.</param>
internal sealed class PictureReader(FeatureInput input)
{
    /// <summary>Decodes the content of an image file.</summary>
    /// <exception cref="ArgumentException">The image cannot be decoded, or is larger than the limit.</exception>
    /// <exception cref="NotSupportedException">SkiaSharp is missing or has another version.</exception>
    public SKBitmap Decode(ReadOnlySpan<byte> image)
    {
        try
        {
            return ImageDecoder.Decode(image, input.Decoding);
        }
        catch (ImageException error)
        {
            throw new ArgumentException($"The image cannot be read: {error.Message}.", nameof(image), error);
        }
        catch (Exception error) when (MissingDecoder.IsCauseOf(error))
        {
            throw MissingDecoder.Explain(error);
        }
    }

    /// <summary>Copies a decoded image.</summary>
    /// <exception cref="ArgumentException">The image has another pixel format than Rgba32 and Bgra32, or is larger than the limit.</exception>
    public unsafe SKBitmap Copy(MLImage image)
    {
        if ((long)image.Width * image.Height > input.Decoding.MaximumPixels)
            throw new ArgumentException(FormattableString.Invariant($"The image has {image.Width} x {image.Height} pixels, more than the limit of {input.Decoding.MaximumPixels:N0}."), nameof(image));
        if (ImageResizer.ColourTypeOf(image.PixelFormat) is not { } type)
            throw new ArgumentException($"The pixel format of the image is {image.PixelFormat}; it must be Rgba32 or Bgra32.", nameof(image));
        var bitmap = new SKBitmap(new SKImageInfo(image.Width, image.Height, type, SKAlphaType.Premul));
        image.Pixels.CopyTo(new Span<byte>((void*)bitmap.GetPixels(), bitmap.ByteCount));
        return bitmap;
    }

    /// <summary>Resizes an image to the network's input.</summary>
    /// <param name="image">The image.</param>
    /// <param name="network">The network, which says where its cells are.</param>
    /// <returns>The pixels that the network reads, as planes, and where the cells of the map lie in the image.</returns>
    public (byte[] Planes, MapAxis Horizontal, MapAxis Vertical) Resize(SKBitmap image, ActivationMapper network)
    {
        var planes = new byte[input.Length];
        using var resizer = input.CreateResizer();
        resizer.Resize(image, planes);
        var target = resizer.TargetOf(image.Width, image.Height);
        // ML.NET rounds the size of very long images down to 0.
        return (
            planes,
            new MapAxis(network.Stride, network.ShiftX, input.Width, image.Width, target.Left, Math.Max(target.Width, 1)),
            new MapAxis(network.Stride, network.ShiftY, input.Height, image.Height, target.Top, Math.Max(target.Height, 1)));
    }

    /// <summary>Gets the pixels of an image in its own size and colours, on the background colour, as planes of red, green and blue.</summary>
    public byte[] Planes(SKBitmap image)
    {
        var settings = input.Settings;
        const int Colours = 3;
        var planes = new byte[checked(Colours * image.Width * image.Height)];
        using var resizer = new ImageResizer(image.Height, image.Width, settings.Resizing, settings.CropAnchor, ImageResizer.Background(settings.BackgroundColor, Colours));
        resizer.Resize(image, planes);
        return planes;
    }
}
