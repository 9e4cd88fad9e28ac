using System.Diagnostics.CodeAnalysis;
using Microsoft.ML.Standin.Images;

namespace Microsoft.ML.Data;

/// <summary>An image in memory, four bytes a pixel.</summary>
/// <remarks>
/// As in ML.NET, decoded images are Bgra32 and their colours are multiplied by alpha. Unlike there, a file that is cut
/// short is refused instead of being filled up with black.
/// </remarks>
public sealed partial class MLImage : IDisposable
{
    private readonly int _width;
    private readonly int _height;
    private readonly MLPixelFormat _format;
    private readonly bool _opaque;
    private byte[] _pixels;
    private string _tag;

    private MLImage(int width, int height, MLPixelFormat format, bool opaque, byte[] pixels)
    {
        _width = width;
        _height = height;
        _format = format;
        _opaque = opaque;
        _pixels = pixels;
    }

    /// <summary>Decodes the image (PNG, JPEG, BMP) that a stream holds from its position on.</summary>
    /// <exception cref="ArgumentException">The stream holds no image that can be decoded.</exception>
    public static MLImage CreateFromStream(Stream imageStream)
    {
        ArgumentNullException.ThrowIfNull(imageStream);
        return Wrap(ImageDecoder.TryDecode(imageStream))
            ?? throw new ArgumentException("Invalid input stream contents", nameof(imageStream));
    }

    /// <summary>Decodes an image file (PNG, JPEG, BMP).</summary>
    /// <exception cref="ArgumentException">There is no such file, or no image in it that can be decoded.</exception>
    public static MLImage CreateFromFile(string imagePath)
    {
        ArgumentNullException.ThrowIfNull(imagePath);
        return (File.Exists(imagePath) ? Wrap(ImageDecoder.TryDecode(File.ReadAllBytes(imagePath))) : null)
            ?? throw new ArgumentException("Invalid path", nameof(imagePath));
    }

    /// <summary>Copies pixels into a new image.</summary>
    public static MLImage CreateFromPixels(int width, int height, MLPixelFormat pixelFormat, ReadOnlySpan<byte> imagePixelData)
    {
        if (pixelFormat is not (MLPixelFormat.Bgra32 or MLPixelFormat.Rgba32))
            throw new ArgumentException("Unsupported pixel format", nameof(pixelFormat));
        if (width <= 0)
            throw new ArgumentException("Invalid width value.", nameof(width));
        if (height <= 0)
            throw new ArgumentException("Invalid height value.", nameof(height));
        if (imagePixelData.Length != 4L * width * height)
            throw new ArgumentException("Invalid imagePixelData buffer size.");
        return new MLImage(width, height, pixelFormat, opaque: false, imagePixelData.ToArray());
    }

    /// <summary>The order of a pixel's bytes.</summary>
    public MLPixelFormat PixelFormat
    {
        get
        {
            Bytes();
            return _format;
        }
    }

    /// <summary>The pixels, row by row from the top; colours are multiplied by alpha.</summary>
    public ReadOnlySpan<byte> Pixels => Bytes();

    /// <summary>A copy of the pixels as blue, green, red, not multiplied by alpha.</summary>
    [SuppressMessage("Performance", "CA1819", Justification = "ML.NET's signature.")]
    public byte[] GetBGRPixels
    {
        get
        {
            byte[] full = Unmultiplied();
            var result = new byte[3 * _width * _height];
            for (int i = 0; i < _width * _height; i++)
                full.AsSpan(4 * i, 3).CopyTo(result.AsSpan(3 * i));
            return result;
        }
    }

    /// <summary>Bits that a pixel takes: 32.</summary>
    public int BitsPerPixel
    {
        get
        {
            Bytes();
            return 32;
        }
    }

    /// <summary>Height in pixels.</summary>
    public int Height
    {
        get
        {
            Bytes();
            return _height;
        }
    }

    /// <summary>Width in pixels.</summary>
    public int Width
    {
        get
        {
            Bytes();
            return _width;
        }
    }

    /// <summary>Anything that the user wants to note; LoadImages puts the path here.</summary>
    public string Tag
    {
        get
        {
            Bytes();
            return _tag;
        }
        set
        {
            Bytes();
            _tag = value;
        }
    }

    /// <summary>Releases the pixels; every use afterwards throws.</summary>
    public void Dispose() => _pixels = null;

    /// <summary>Writes the image to a file; the extension must be .png.</summary>
    /// <exception cref="NotSupportedException">The extension is .jpg, .jpeg or .webp, which ML.NET itself would write.</exception>
    public void Save(string imagePath)
    {
        byte[] pixels = Unmultiplied();
        string extension = Path.GetExtension(imagePath).ToLowerInvariant();
        switch (extension)
        {
            case ".png":
                break;
            case ".jpg" or ".jpeg" or ".webp":
                throw new NotSupportedException($"MLImage.Save: the ML.NET stand-in writes only .png, not '{extension}'.");
            case ".bmp" or ".gif" or ".ico" or ".astc" or ".avif" or ".dng" or ".heif" or ".ktx" or ".pkm" or ".wbmp":
                throw new ArgumentException($"Saving image with the format '{extension}' is not supported. Use .png.", nameof(imagePath));
            default:
                throw new ArgumentException("Path has invalid image file extension.", nameof(imagePath));
        }
        using var coded = new MemoryStream();
        PngEncoder.Write(coded, _width, _height, pixels, _opaque);
        string temporary = imagePath + "." + Path.GetRandomFileName();
        try
        {
            File.WriteAllBytes(temporary, coded.ToArray());
            File.Move(temporary, imagePath, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    private static MLImage Wrap(DecodedImage image)
        => image is null ? null : new MLImage(image.Width, image.Height, MLPixelFormat.Bgra32, image.Opaque, image.Pixels);

    private byte[] Bytes() => _pixels ?? throw new InvalidOperationException("Object is disposed.");

    /// <summary>The pixels in the order blue, green, red, alpha, still multiplied by alpha.</summary>
    private ReadOnlySpan<byte> Bgra()
    {
        byte[] bytes = Bytes();
        if (_format == MLPixelFormat.Bgra32)
            return bytes;
        var swapped = (byte[])bytes.Clone();
        for (int i = 0; i < swapped.Length; i += 4)
            (swapped[i], swapped[i + 2]) = (swapped[i + 2], swapped[i]);
        return swapped;
    }

    /// <summary>A copy in the order blue, green, red, alpha, colours divided by alpha.</summary>
    private byte[] Unmultiplied()
    {
        byte[] result = Bgra().ToArray();
        for (int i = 0; !_opaque && i < result.Length; i += 4)
        {
            int alpha = result[i + 3];
            for (int c = i; alpha < 255 && c < i + 3; c++)
                result[c] = alpha == 0 ? (byte)0 : (byte)Math.Min(255, (result[c] * 255 + alpha / 2) / alpha);
        }
        return result;
    }
}
