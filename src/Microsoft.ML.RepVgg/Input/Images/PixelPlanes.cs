using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.RepVgg.Input.Images;

/// <summary>Splits pixels of four bytes, red, green, blue and alpha or blue, green, red and alpha, into planes (CHW), and puts a background behind them.</summary>
/// <remarks>
/// The colours are premultiplied with alpha, so a colour c with alpha a on a background b becomes c + round(b * (255 - a) / 255),
/// at most 255. <c>Weights/Onnx/OnnxComposition</c> computes the same in a saved model.
/// </remarks>
internal static class PixelPlanes
{
    private const int BytesPerPixel = 4, AlphaIndex = 3;
    private const uint AlphaMask = 0xFF000000;

    // For four pixels in a row, the positions of their red, green, blue and alpha values.
    private static readonly Vector128<byte> _rgba = Vector128.Create((byte)0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    private static readonly Vector128<byte> _bgra = Vector128.Create((byte)2, 6, 10, 14, 1, 5, 9, 13, 0, 4, 8, 12, 3, 7, 11, 15);

    /// <summary>Copies the red, green and blue values of pixels to three planes.</summary>
    /// <param name="pixels">The pixels.</param>
    /// <param name="isBgra">Whether blue is the first byte of a pixel, not red.</param>
    /// <param name="planes">Receives the planes, one after the other.</param>
    // Scalar equivalent: plane c of pixel i is pixels[4 * i + order[4 * c]]. A vector holds four pixels; the shuffle puts the
    // four values of each colour into one of its 32-bit elements.
    public static void CopyColours(ReadOnlySpan<byte> pixels, bool isBgra, Span<byte> planes)
    {
        var order = isBgra ? _bgra : _rgba;
        int length = pixels.Length / BytesPerPixel;
        Span<byte> red = planes[..length], green = planes.Slice(length, length), blue = planes.Slice(2 * length, length);
        Span<uint> reds = MemoryMarshal.Cast<byte, uint>(red), greens = MemoryMarshal.Cast<byte, uint>(green), blues = MemoryMarshal.Cast<byte, uint>(blue);
        var quads = MemoryMarshal.Cast<byte, Vector128<byte>>(pixels);
        for (int i = 0; i < quads.Length; i++)
        {
            var colours = Vector128.ShuffleNative(quads[i], order).AsUInt32();
            reds[i] = colours[0];
            greens[i] = colours[1];
            blues[i] = colours[2];
        }
        for (int i = 4 * quads.Length; i < length; i++)
        {
            red[i] = pixels[BytesPerPixel * i + order[0]];
            green[i] = pixels[BytesPerPixel * i + order[4]];
            blue[i] = pixels[BytesPerPixel * i + order[8]];
        }
    }

    /// <summary>Copies one byte of each pixel to a plane.</summary>
    /// <param name="pixels">The pixels.</param>
    /// <param name="index">Index of the byte in a pixel, 0 to 3.</param>
    /// <param name="plane">Receives the plane.</param>
    public static void CopyOne(ReadOnlySpan<byte> pixels, int index, Span<byte> plane)
    {
        for (int i = 0; i < plane.Length; i++)
            plane[i] = pixels[BytesPerPixel * i + index];
    }

    /// <summary>Copies the alpha value of each pixel to a plane.</summary>
    /// <param name="pixels">The pixels.</param>
    /// <param name="plane">Receives the plane.</param>
    public static void CopyAlpha(ReadOnlySpan<byte> pixels, Span<byte> plane) => CopyOne(pixels, AlphaIndex, plane);

    /// <summary>Whether no pixel shows the background: alpha is 255 everywhere, or 0 everywhere, as in camera frames whose fourth byte is not used.</summary>
    public static bool IsOpaque(ReadOnlySpan<byte> pixels)
    {
        var words = MemoryMarshal.Cast<byte, uint>(pixels);
        var vectors = MemoryMarshal.Cast<uint, Vector<uint>>(words);
        Vector<uint> all = Vector<uint>.AllBitsSet, any = Vector<uint>.Zero;
        foreach (var vector in vectors)
        {
            all &= vector;
            any |= vector;
        }
        uint allWords = uint.MaxValue, anyWords = 0;
        for (int i = 0; i < Vector<uint>.Count; i++)
        {
            allWords &= all[i];
            anyWords |= any[i];
        }
        foreach (uint word in words[(vectors.Length * Vector<uint>.Count)..])
        {
            allWords &= word;
            anyWords |= word;
        }
        return (allWords & AlphaMask) == AlphaMask || (anyWords & AlphaMask) == 0;
    }

    /// <summary>Puts a background behind a plane of premultiplied values.</summary>
    /// <param name="plane">The values of one colour, which are replaced.</param>
    /// <param name="alpha">The alpha values, as many.</param>
    /// <param name="background">Value of the background in this colour.</param>
    public static void Compose(Span<byte> plane, ReadOnlySpan<byte> alpha, byte background)
    {
        var values = MemoryMarshal.Cast<byte, Vector<byte>>(plane);
        var alphas = MemoryMarshal.Cast<byte, Vector<byte>>(alpha);
        var factor = new Vector<ushort>(background);
        for (int i = 0; i < values.Length; i++)
        {
            Vector.Widen(~alphas[i], out var lower, out var upper);
            values[i] = Vector.AddSaturate(values[i], Vector.Narrow(DivideBy255(lower * factor), DivideBy255(upper * factor)));
        }
        for (int i = values.Length * Vector<byte>.Count; i < plane.Length; i++)
            plane[i] = (byte)Math.Min(plane[i] + (background * (255 - alpha[i]) + 127) / 255, 255);
    }

    /// <summary>Divides products of two bytes by 255 and rounds to the nearest integer; no quotient lies halfway between two integers.</summary>
    private static Vector<ushort> DivideBy255(Vector<ushort> products)
    {
        var shifted = products + new Vector<ushort>(128);
        return (shifted + (shifted >>> 8)) >>> 8;
    }
}
