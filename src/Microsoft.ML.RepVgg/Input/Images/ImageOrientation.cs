using System.Runtime.InteropServices;
using SkiaSharp;

namespace Microsoft.ML.RepVgg.Input.Images;

/// <summary>Turns and mirrors images as their EXIF orientation says. Pixels change their places, not their values.</summary>
internal static class ImageOrientation
{
    // The tiles of a turned image are small enough that the rows that are read and the rows that are written stay in the cache.
    private const int TileSide = 32;

    /// <summary>Brings an image into the upright position.</summary>
    /// <param name="stored">The image as stored. It is disposed if another one is returned.</param>
    /// <param name="origin">The corner at which the first row and column of the stored image are shown.</param>
    /// <returns>The image; for the four orientations that turn it by a quarter, its height is the width of the stored image.</returns>
    public static unsafe SKBitmap Apply(SKBitmap stored, SKEncodedOrigin origin)
    {
        if (origin is <= SKEncodedOrigin.TopLeft or > SKEncodedOrigin.LeftBottom)
            return stored;
        bool turned = origin >= SKEncodedOrigin.LeftTop;
        int width = stored.Width, height = stored.Height;
        // The stored row and column that are shown first, and whether they run backwards.
        bool rowsBackwards = origin is SKEncodedOrigin.BottomRight or SKEncodedOrigin.BottomLeft or SKEncodedOrigin.RightTop or SKEncodedOrigin.RightBottom;
        bool columnsBackwards = origin is SKEncodedOrigin.TopRight or SKEncodedOrigin.BottomRight or SKEncodedOrigin.RightBottom or SKEncodedOrigin.LeftBottom;
        int rowStep = rowsBackwards ? -width : width, columnStep = columnsBackwards ? -1 : 1;
        int first = (rowsBackwards ? (height - 1) * width : 0) + (columnsBackwards ? width - 1 : 0);

        var upright = new SKBitmap(turned ? stored.Info.WithSize(height, width) : stored.Info);
        var source = MemoryMarshal.Cast<byte, uint>(stored.GetPixelSpan());
        var target = new Span<uint>((void*)upright.GetPixels(), width * height);
        var (down, right) = turned ? (columnStep, rowStep) : (rowStep, columnStep);
        for (int top = 0; top < upright.Height; top += TileSide)
        {
            for (int left = 0; left < upright.Width; left += TileSide)
            {
                int bottom = Math.Min(top + TileSide, upright.Height), end = Math.Min(left + TileSide, upright.Width);
                for (int y = top; y < bottom; y++)
                {
                    int from = first + y * down + left * right;
                    for (int x = left; x < end; x++, from += right)
                        target[y * upright.Width + x] = source[from];
                }
            }
        }
        stored.Dispose();
        return upright;
    }
}
