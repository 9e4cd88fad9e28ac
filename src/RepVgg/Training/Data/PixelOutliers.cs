using System.Numerics;

namespace RepVgg.Training.Data;

/// <summary>Images with pixels whose absolute values are far beyond those of the other images of a set, which are often errors in the data.</summary>
/// <remarks>
/// An image whose pixels are all in 0..255 is none. If a set has other images, the limit is <see cref="Factor"/> times the
/// median, over all images that are not black, of the largest absolute value of an image, and at least 255. The median is that
/// of the valid images as long as fewer than half of the images are errors. Images of 16 bits can be that bright and valid, so
/// a measurement leaves out only pixels beyond a second limit, of <see cref="MeasurementFactor"/> times the median.
/// </remarks>
/// <param name="Limit">Absolute values up to this one are usual.</param>
/// <param name="MeasurementLimit">Pixels with absolute values beyond this one are certainly errors, and left out of a measurement.</param>
/// <param name="Count">Number of images with pixels beyond the limit.</param>
/// <param name="FirstRows">The rows of the first of them, from 0.</param>
/// <param name="Extreme">The pixel with the largest absolute value.</param>
internal sealed record PixelOutliers(float Limit, float MeasurementLimit, int Count, IReadOnlyList<long> FirstRows, float Extreme)
{
    /// <summary>Ratio of the limit, and of the limit of a measurement, to the median.</summary>
    public const int Factor = 10, MeasurementFactor = 100;

    private const float LargestByte = 255;
    private const int ListedRows = 5;

    /// <summary>Finds the images.</summary>
    /// <param name="samples">The set. Of images that are stored as bytes, no pixels are read unless there are images with other values.</param>
    /// <param name="cancellation">Checked at every image.</param>
    /// <returns>The images; null if there are none.</returns>
    /// <exception cref="OperationCanceledException">The call was cancelled.</exception>
    public static PixelOutliers? Find(ISampleSource samples, CancellationToken cancellation)
    {
        if (samples.AreBytes)
            return null;
        var ranges = new (float Lowest, float Highest)[samples.Count];
        float[] pixels = new float[samples.Channels * samples.Height * samples.Width];
        byte[] buffer = new byte[pixels.Length];
        bool allAreBytes = true;
        for (int i = 0; i < ranges.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            if (!samples.ReadBytes(i, buffer).IsEmpty)
            {
                // The range is measured below, if it is needed.
                ranges[i] = (0, LargestByte);
                continue;
            }
            samples.Read(i, pixels);
            ranges[i] = RangeOf(pixels);
            allAreBytes &= ranges[i].Lowest >= 0 && ranges[i].Highest <= LargestByte;
        }
        if (allAreBytes)
            return null;

        var largest = new List<float>(ranges.Length);
        for (int i = 0; i < ranges.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            var bytes = samples.ReadBytes(i, buffer);
            float magnitude = bytes.IsEmpty ? MagnitudeOf(ranges[i]) : MaximumOf(bytes);
            if (magnitude > 0)
                largest.Add(magnitude);
        }
        largest.Sort();
        float median = largest[(largest.Count - 1) / 2], limit = Math.Max(LargestByte, Factor * median);

        int[] outliers = [.. Enumerable.Range(0, ranges.Length).Where(i => MagnitudeOf(ranges[i]) > limit)];
        if (outliers.Length == 0)
            return null;
        var (lowest, highest) = ranges[outliers.MaxBy(i => MagnitudeOf(ranges[i]))];
        return new PixelOutliers(limit, Math.Max(LargestByte, MeasurementFactor * median), outliers.Length, [.. outliers.Take(ListedRows).Select(samples.RowOf)], -lowest > highest ? lowest : highest);
    }

    /// <summary>Whether a measurement leaves pixels out.</summary>
    public bool AreLeftOut => Math.Abs(Extreme) > MeasurementLimit;

    /// <summary>Describes the images.</summary>
    /// <param name="set">Name of the set in the text, such as "training".</param>
    /// <returns>A sentence that names the first rows.</returns>
    public string Describe(string set) => FormattableString.Invariant(
        $"{Count} {set} image{(Count == 1 ? " has" : "s have")} pixels as large as {Extreme:g6}, where absolute values up to {Limit:g6} are usual ({Factor} times the median of the images' largest, and at least 255): row{(Count == 1 ? "" : "s")} {string.Join(", ", FirstRows)}{(Count > FirstRows.Count ? ", ..." : "")}.");

    private static float MagnitudeOf((float Lowest, float Highest) range) => Math.Max(Math.Abs(range.Lowest), Math.Abs(range.Highest));

    private static byte MaximumOf(ReadOnlySpan<byte> values)
    {
        var maxima = Vector<byte>.Zero;
        int i = 0;
        for (; i <= values.Length - Vector<byte>.Count; i += Vector<byte>.Count)
            maxima = Vector.Max(maxima, new Vector<byte>(values[i..]));
        byte maximum = 0;
        for (int lane = 0; lane < Vector<byte>.Count; lane++)
            maximum = Math.Max(maximum, maxima[lane]);
        for (; i < values.Length; i++)
            maximum = Math.Max(maximum, values[i]);
        return maximum;
    }

    private static (float Lowest, float Highest) RangeOf(ReadOnlySpan<float> values)
    {
        var (lowest, highest) = (new Vector<float>(values[0]), new Vector<float>(values[0]));
        int i = 0;
        for (; i <= values.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            var some = new Vector<float>(values[i..]);
            (lowest, highest) = (Vector.Min(lowest, some), Vector.Max(highest, some));
        }
        var range = (Lowest: values[0], Highest: values[0]);
        for (int lane = 0; lane < Vector<float>.Count; lane++)
            range = (Math.Min(range.Lowest, lowest[lane]), Math.Max(range.Highest, highest[lane]));
        for (; i < values.Length; i++)
            range = (Math.Min(range.Lowest, values[i]), Math.Max(range.Highest, values[i]));
        return range;
    }
}
