namespace RepVgg.Training.Augmentations;

/// <summary>Rotates, shears and translates images, with bilinear interpolation. Pixels from outside the image have the colour of the fill.</summary>
/// <remarks>
/// The results are those of Pillow's <c>Image.rotate</c> and <c>Image.transform</c> with AFFINE, BILINEAR and a fill colour.
/// An instance reuses its memory and serves one thread at a time.
/// </remarks>
internal sealed class AffineOperations
{
    private readonly PlanarImage _source = new();

    /// <summary>Rotates counter-clockwise around the centre.</summary>
    /// <param name="image">The image.</param>
    /// <param name="degrees">The angle in degrees.</param>
    /// <param name="fill">Value of the pixels from outside, per channel.</param>
    public void Rotate(PlanarImage image, double degrees, ReadOnlySpan<byte> fill)
    {
        const int Digits = 15;
        double angle = -double.DegreesToRadians(degrees);
        double cos = Math.Round(Math.Cos(angle), Digits), sin = Math.Round(Math.Sin(angle), Digits);
        double centerX = image.Width / 2.0, centerY = image.Height / 2.0;
        Warp(image, new Matrix(cos, sin, cos * -centerX + sin * -centerY + centerX, -sin, cos, -sin * -centerX + cos * -centerY + centerY), fill);
    }

    /// <summary>Moves each row to the left in proportion to its distance from the top.</summary>
    /// <param name="image">The image.</param>
    /// <param name="factor">Pixels per row; negative to move to the right.</param>
    /// <param name="fill">Value of the pixels from outside, per channel.</param>
    public void ShearX(PlanarImage image, double factor, ReadOnlySpan<byte> fill) => Warp(image, new Matrix(1, factor, 0, 0, 1, 0), fill);

    /// <summary>Moves each column up in proportion to its distance from the left.</summary>
    /// <param name="image">The image.</param>
    /// <param name="factor">Pixels per column; negative to move down.</param>
    /// <param name="fill">Value of the pixels from outside, per channel.</param>
    public void ShearY(PlanarImage image, double factor, ReadOnlySpan<byte> fill) => Warp(image, new Matrix(1, 0, 0, factor, 1, 0), fill);

    /// <summary>Moves the image to the left.</summary>
    /// <param name="image">The image.</param>
    /// <param name="share">The distance as a share of the width; negative to move to the right.</param>
    /// <param name="fill">Value of the pixels from outside, per channel.</param>
    public void TranslateX(PlanarImage image, double share, ReadOnlySpan<byte> fill) => Warp(image, new Matrix(1, 0, share * image.Width, 0, 1, 0), fill);

    /// <summary>Moves the image up.</summary>
    /// <param name="image">The image.</param>
    /// <param name="share">The distance as a share of the height; negative to move down.</param>
    /// <param name="fill">Value of the pixels from outside, per channel.</param>
    public void TranslateY(PlanarImage image, double share, ReadOnlySpan<byte> fill) => Warp(image, new Matrix(1, 0, 0, 0, 1, share * image.Height), fill);

    private void Warp(PlanarImage image, Matrix matrix, ReadOnlySpan<byte> fill)
    {
        int height = image.Height, width = image.Width;
        _source.Set(image.Pixels, image.Channels, height, width);
        ReadOnlySpan<byte> source = _source.Pixels;
        var result = image.Pixels;
        for (int y = 0; y < height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                // Places are those of the centres of pixels.
                double sourceX = matrix.XX * (x + 0.5) + matrix.XY * (y + 0.5) + matrix.X;
                double sourceY = matrix.YX * (x + 0.5) + matrix.YY * (y + 0.5) + matrix.Y;
                if (sourceX < 0 || sourceX >= width || sourceY < 0 || sourceY >= height)
                {
                    for (int at = y * width + x, c = 0; at < result.Length; at += image.Area, c++)
                        result[at] = fill[c];
                    continue;
                }
                var (left, right, horizontal) = Neighbours(sourceX, width);
                var (top, bottom, vertical) = Neighbours(sourceY, height);
                for (int plane = 0; plane < result.Length; plane += image.Area)
                {
                    int above = plane + top * width, below = plane + bottom * width;
                    double first = source[above + left] + (source[above + right] - source[above + left]) * horizontal;
                    double second = source[below + left] + (source[below + right] - source[below + left]) * horizontal;
                    result[plane + y * width + x] = (byte)(first + (second - first) * vertical);
                }
            }
        }
    }

    /// <summary>Finds the two pixels on either side of a place, and the weight of the second one. Beyond the border there is the pixel at the border.</summary>
    private static (int First, int Second, double Weight) Neighbours(double place, int length)
    {
        place -= 0.5;
        int floor = (int)Math.Floor(place);
        return (Math.Max(floor, 0), Math.Min(floor + 1, length - 1), place - floor);
    }

    /// <summary>Maps a place of the result (x, y) to a place of the source: (XX x + XY y + X, YX x + YY y + Y).</summary>
    private readonly record struct Matrix(double XX, double XY, double X, double YX, double YY, double Y);
}
