using System.Globalization;
using SkiaSharp;

namespace Microsoft.ML.RepVgg.Input.Images;

/// <summary>How encoded images are decoded.</summary>
/// <param name="ApplyOrientation">Whether the image is turned or mirrored as its EXIF orientation says.</param>
/// <param name="MaximumPixels">Largest number of pixels, width times height, of an image that is decoded.</param>
internal sealed record ImageDecoding(bool ApplyOrientation = true, long MaximumPixels = ImageDecoding.DefaultMaximum)
{
    /// <summary>The default of <see cref="MaximumPixels"/>.</summary>
    public const long DefaultMaximum = 100_000_000;

    /// <summary>The largest value of <see cref="MaximumPixels"/>: the bytes of the pixels have indices of 32 bits.</summary>
    public const long LargestMaximum = (1L << 29) - 1;
}

/// <summary>The exception for an image that cannot be decoded.</summary>
/// <param name="reason">What is wrong, as a clause without a full stop, such as <c>it is cut off</c>. It does not name the file.</param>
internal sealed class ImageException(string reason) : Exception(reason);

/// <summary>Decodes the content of image files.</summary>
/// <remarks>
/// <para>
/// The pixels are those of <see cref="Data.MLImage.CreateFromStream"/>, 8 bits per colour and premultiplied with alpha; only the
/// orientation differs. Skia reports the EXIF orientation of JPEG and WebP files, not that of PNG files. Of an animated image, the first frame is decoded.
/// </para>
/// <para>
/// Skia, and so ML.NET, decodes the rest of an image that is cut off to grey, black or transparent pixels. Here such an image is an error. JPEG and PNG
/// files must have their end marker, and the others all pixel data of the first frame. Not detected are
/// damages that Skia decodes without an error: changed bytes inside the pixel data of JPEG, BMP, GIF and WebP files, and a lost end of
/// BMP, GIF and WebP files that was filled up with other bytes.
/// </para>
/// </remarks>
internal static class ImageDecoder
{
    /// <summary>Decodes an image.</summary>
    /// <param name="encoded">The content of the file. Bytes after the end of the image are ignored.</param>
    /// <param name="decoding">The orientation and the limit of the size, which is checked before memory is allocated.</param>
    /// <returns>The image, in the colour type Bgra8888 or Rgba8888. The caller disposes it.</returns>
    /// <exception cref="ImageException">The image cannot be decoded completely, or is larger than the limit.</exception>
    public static unsafe SKBitmap Decode(ReadOnlySpan<byte> encoded, ImageDecoding decoding)
    {
        if (encoded.IsEmpty)
            throw new ImageException("the file is empty");
        fixed (byte* start = encoded)
        {
            using var data = SKData.Create((nint)start, encoded.Length);
            using var stream = new SKMemoryStream(data);
            using var codec = SKCodec.Create(stream, out var opened);
            if (codec is null)
                throw new ImageException(ImageSignature.ExplainUnopened(encoded, isCutOff: opened == SKCodecResult.IncompleteInput));
            CheckSize(codec.Info, decoding.MaximumPixels);
            if (ImageSignature.LacksEndMarker(encoded))
                throw new ImageException(ImageSignature.ExplainUndecoded(encoded, isCutOff: true));
            var bitmap = Decode(codec, out var decoded);
            if (bitmap is null)
                throw new ImageException(ImageSignature.ExplainUndecoded(encoded, isCutOff: decoded == SKCodecResult.IncompleteInput));
            if (!decoding.ApplyOrientation)
                return bitmap;
            try
            {
                return ImageOrientation.Apply(bitmap, codec.EncodedOrigin);
            }
            catch
            {
                bitmap.Dispose();
                throw;
            }
        }
    }

    /// <summary>Reads the size of an image from its header.</summary>
    /// <param name="encoded">The content of the file, or its beginning.</param>
    /// <param name="decoding">Whether the orientation is applied, which can exchange width and height.</param>
    /// <returns>The size in pixels; null if the image cannot be decoded.</returns>
    public static unsafe (int Width, int Height)? ReadSize(ReadOnlySpan<byte> encoded, ImageDecoding decoding)
    {
        fixed (byte* start = encoded)
        {
            using var data = SKData.Create((nint)start, encoded.Length);
            using var stream = new SKMemoryStream(data);
            using var codec = SKCodec.Create(stream);
            if (codec is null)
                return null;
            bool exchanged = decoding.ApplyOrientation && codec.EncodedOrigin is (SKEncodedOrigin.LeftTop or SKEncodedOrigin.RightTop or SKEncodedOrigin.RightBottom or SKEncodedOrigin.LeftBottom);
            return exchanged ? (codec.Info.Height, codec.Info.Width) : (codec.Info.Width, codec.Info.Height);
        }
    }

    /// <summary>Returns the reason why an image cannot be decoded; null if it can.</summary>
    /// <param name="encoded">The content of the file.</param>
    /// <param name="decoding">The limit of the size.</param>
    public static string? Explain(ReadOnlySpan<byte> encoded, ImageDecoding decoding)
    {
        try
        {
            Decode(encoded, decoding with { ApplyOrientation = false }).Dispose();
            return null;
        }
        catch (ImageException error)
        {
            return error.Message;
        }
    }

    private static void CheckSize(SKImageInfo info, long maximumPixels)
    {
        if ((long)info.Width * info.Height > maximumPixels)
            throw new ImageException(string.Create(CultureInfo.InvariantCulture, $"it has {info.Width} x {info.Height} pixels, more than the limit of {maximumPixels:N0}"));
    }

    /// <summary>Decodes an image, as SKBitmap.Decode does, which ML.NET uses: premultiplied, without a conversion of the colour space.</summary>
    /// <returns>The image as stored; null if it cannot be decoded completely.</returns>
    private static SKBitmap? Decode(SKCodec codec, out SKCodecResult result)
    {
        var info = codec.Info;
        if (info.AlphaType == SKAlphaType.Unpremul)
            info.AlphaType = SKAlphaType.Premul;
        info.ColorSpace = null;
        var bitmap = new SKBitmap();
        if (!bitmap.TryAllocPixels(info))
        {
            bitmap.Dispose();
            throw new ImageException(string.Create(CultureInfo.InvariantCulture, $"there is not enough memory for its {info.Width} x {info.Height} pixels"));
        }
        result = codec.GetPixels(info, bitmap.GetPixels());
        if (result == SKCodecResult.Success && info.ColorType is (SKColorType.Bgra8888 or SKColorType.Rgba8888))
            return bitmap;
        using (bitmap)
            return result == SKCodecResult.Success ? bitmap.Copy(SKColorType.Bgra8888) : null;
    }
}
