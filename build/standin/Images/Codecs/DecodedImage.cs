#nullable enable
namespace Microsoft.ML.Standin.Images;

/// <summary>
/// A decoded image: rows from top to bottom, four bytes a pixel in the order blue, green, red, alpha; colours are
/// multiplied by alpha.
/// </summary>
internal sealed class DecodedImage
{
    /// <summary>The most pixels that an image may have (512 MiB decoded): what a small file can claim stays bounded.</summary>
    public const long MaxPixels = 1L << 27;

    public DecodedImage(int width, int height, bool opaque)
    {
        CheckSize(width, height);
        Width = width;
        Height = height;
        Opaque = opaque;
        Pixels = new byte[4 * width * height];
    }

    public int Width { get; }

    public int Height { get; }

    /// <summary>Whether the format says that every pixel has alpha 255.</summary>
    public bool Opaque { get; }

    public byte[] Pixels { get; }

    /// <summary>Refuses empty and oversized images before anything is allocated for them.</summary>
    public static void CheckSize(long width, long height)
    {
        if (width <= 0 || height <= 0)
            throw new ImageFormatException($"The image is empty: {width} x {height} pixels.");
        if (width > MaxPixels || height > MaxPixels || width * height > MaxPixels)
            throw new ImageFormatException($"The image is too large: {width} x {height} pixels, at most {MaxPixels} are taken.");
    }

    /// <summary>Writes one pixel at byte <paramref name="at"/>, multiplying the colours by alpha.</summary>
    public static void Put(byte[] pixels, int at, byte red, byte green, byte blue, byte alpha)
    {
        if (alpha != 255)
        {
            red = Multiply(red, alpha);
            green = Multiply(green, alpha);
            blue = Multiply(blue, alpha);
        }
        pixels[at] = blue;
        pixels[at + 1] = green;
        pixels[at + 2] = red;
        pixels[at + 3] = alpha;
    }

    /// <summary>a * b / 255, rounded to nearest, for 0..255.</summary>
    public static byte Multiply(byte a, byte b) => (byte)(((a * b + 128) * 257) >> 16);
}
