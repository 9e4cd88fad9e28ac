using Microsoft.ML.RepVgg.Input.Images;

namespace Microsoft.ML.RepVgg.Explanation;

/// <summary>Draws a map over a picture.</summary>
internal static class Overlay
{
    /// <summary>Draws a map over a picture: each pixel becomes (1 - opacity) * picture + opacity * colour of the map.</summary>
    /// <remarks>The smallest value of the map has the first colour of <see cref="Viridis"/>, the largest one the last; a map of equal values has the first. Pixels without a value stay as they are.</remarks>
    /// <param name="planes">The picture: planes (CHW) of red, green and blue, or one plane of grey.</param>
    /// <param name="values">The map, row by row.</param>
    /// <param name="mapWidth">Number of columns of the map.</param>
    /// <param name="columns">The column of the map, with a fraction, of each column of the picture; NaN for none.</param>
    /// <param name="rows">The row of the map, with a fraction, of each row of the picture; NaN for none.</param>
    /// <param name="opacity">The share of the map's colours, 0 to 1.</param>
    /// <returns>The content of a PNG file.</returns>
    public static byte[] Draw(ReadOnlySpan<byte> planes, ReadOnlySpan<float> values, int mapWidth, double[] columns, double[] rows, float opacity)
    {
        var (width, height) = (columns.Length, rows.Length);
        var map = new BilinearMap(values, mapWidth);
        var (low, high) = Range(values);
        float scale = high > low ? 1 / (high - low) : 0;
        int area = width * height, greenPlane = planes.Length == area ? 0 : area, bluePlane = 2 * greenPlane;
        byte[] drawn = new byte[3 * area];
        var heat = new float[width];
        for (int y = 0; y < height; y++)
        {
            map.ReadRow(rows[y], columns, heat);
            for (int x = 0; x < width; x++)
            {
                int at = y * width + x;
                float share = float.IsNaN(heat[x]) ? 0 : opacity;
                var (red, green, blue) = Viridis.Colour((heat[x] - low) * scale);
                drawn[at] = Mix(planes[at], red, share);
                drawn[area + at] = Mix(planes[greenPlane + at], green, share);
                drawn[2 * area + at] = Mix(planes[bluePlane + at], blue, share);
            }
        }
        return PngImage.Encode(drawn, width, height);
    }

    private static byte Mix(byte picture, float colour, float share) => share == 0 ? picture : (byte)MathF.Round(picture + share * (colour - picture));

    private static (float Low, float High) Range(ReadOnlySpan<float> values)
    {
        float low = float.PositiveInfinity, high = float.NegativeInfinity;
        foreach (float value in values)
            (low, high) = (Math.Min(low, value), Math.Max(high, value));
        return (low, high);
    }
}
