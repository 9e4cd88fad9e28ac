#nullable enable
namespace Microsoft.ML.Standin.Images;

/// <summary>
/// Scales images of four bytes a pixel. Smooth scaling averages over the area that a pixel covers when it shrinks
/// (a triangle as wide as two new pixels), and uses the cubic filter of Mitchell and Netravali (1988) when it enlarges.
/// </summary>
internal static class ImageResampler
{
    /// <summary>Takes the source pixel in which each new pixel's centre lies.</summary>
    public static byte[] Nearest(ReadOnlySpan<byte> source, int sourceWidth, int sourceHeight, int width, int height)
    {
        var result = new byte[4 * width * height];
        for (int y = 0; y < height; y++)
        {
            int fromY = (int)((2L * y + 1) * sourceHeight / (2L * height));
            for (int x = 0; x < width; x++)
            {
                int fromX = (int)((2L * x + 1) * sourceWidth / (2L * width));
                source.Slice(4 * (fromY * sourceWidth + fromX), 4).CopyTo(result.AsSpan(4 * (y * width + x)));
            }
        }
        return result;
    }

    /// <summary>
    /// Scales an image to <paramref name="scaledWidth"/> x <paramref name="scaledHeight"/>, puts its corner at
    /// (<paramref name="left"/>, <paramref name="top"/>) and cuts out the window from (0, 0) to (width, height). What it
    /// does not cover stays zero; what it covers gets alpha 255.
    /// </summary>
    public static byte[] Smooth(
        ReadOnlySpan<byte> source, int sourceWidth, int sourceHeight, int scaledWidth, int scaledHeight, int left, int top, int width, int height)
    {
        var result = new byte[4 * width * height];
        ResamplingTaps[] columns = ResamplingTaps.Make(sourceWidth, scaledWidth, left, width);
        ResamplingTaps[] rows = ResamplingTaps.Make(sourceHeight, scaledHeight, top, height);
        if (columns.Length == 0 || rows.Length == 0)
            return result;
        int firstColumn = Math.Max(left, 0), firstRow = Math.Max(top, 0);

        // Rows of the source, scaled across, are made when the first new row needs them and kept while others do.
        var scaled = new Dictionary<int, float[]>();
        var free = new Stack<float[]>();
        var sum = new float[4 * columns.Length];
        for (int y = 0; y < rows.Length; y++)
        {
            Array.Clear(sum);
            ResamplingTaps taps = rows[y];
            foreach (int old in scaled.Keys.Where(k => k < taps.First).ToArray())
            {
                free.Push(scaled[old]);
                scaled.Remove(old);
            }
            for (int j = 0; j < taps.Weights.Length; j++)
            {
                int from = taps.First + j;
                if (!scaled.TryGetValue(from, out float[]? line))
                {
                    line = free.Count > 0 ? free.Pop() : new float[sum.Length];
                    ScaleRow(source.Slice(4 * from * sourceWidth, 4 * sourceWidth), columns, line);
                    scaled.Add(from, line);
                }
                float weight = taps.Weights[j];
                for (int i = 0; i < sum.Length; i++)
                    sum[i] += weight * line[i];
            }
            Store(sum, result.AsSpan(4 * ((firstRow + y) * width + firstColumn)));
        }
        return result;
    }

    private static void ScaleRow(ReadOnlySpan<byte> source, ResamplingTaps[] columns, float[] line)
    {
        for (int x = 0; x < columns.Length; x++)
        {
            float blue = 0, green = 0, red = 0, alpha = 0;
            float[] weights = columns[x].Weights;
            int at = 4 * columns[x].First;
            foreach (float weight in weights)
            {
                blue += weight * source[at];
                green += weight * source[at + 1];
                red += weight * source[at + 2];
                alpha += weight * source[at + 3];
                at += 4;
            }
            (line[4 * x], line[4 * x + 1], line[4 * x + 2], line[4 * x + 3]) = (blue, green, red, alpha);
        }
    }

    private static void Store(float[] sum, Span<byte> result)
    {
        for (int i = 0; i < sum.Length; i += 4)
        {
            // Colours are multiplied by alpha, so none may exceed it.
            float alpha = Math.Clamp(sum[i + 3], 0, 255);
            for (int c = 0; c < 3; c++)
                result[i + c] = (byte)(Math.Clamp(sum[i + c], 0, alpha) + 0.5f);
            result[i + 3] = 255;
        }
    }
}
