#nullable enable
namespace Microsoft.ML.Standin.Images;

/// <summary>The source pixels that a scaled pixel is made of, along one axis, and their weights (their sum is 1).</summary>
internal readonly struct ResamplingTaps(int first, float[] weights)
{
    public int First { get; } = first;

    public float[] Weights { get; } = weights;

    /// <summary>The taps of the scaled pixels that lie in the window 0..window, the scaled image starting at <paramref name="start"/>.</summary>
    public static ResamplingTaps[] Make(int source, int scaled, int start, int window)
    {
        int from = Math.Max(0, -start), to = Math.Min(scaled, window - start);
        var taps = new ResamplingTaps[Math.Max(0, to - from)];
        double ratio = (double)source / scaled;
        for (int i = 0; i < taps.Length; i++)
            taps[i] = MakeOne((from + i + 0.5) * ratio, ratio, source);
        return taps;
    }

    private static ResamplingTaps MakeOne(double center, double ratio, int source)
    {
        if (ratio == 1)
            return new ResamplingTaps((int)center, [1]);
        bool shrinks = ratio > 1;
        double reach = shrinks ? ratio : 2;
        int low = (int)Math.Floor(center - reach), high = (int)Math.Ceiling(center + reach);
        // Shrinking leaves out what lies beyond the edge; enlarging takes the edge's sample instead.
        int first = Math.Clamp(low, 0, source - 1), last = Math.Clamp(high - 1, 0, source - 1);
        var weights = new double[last - first + 1];
        for (int i = low; i < high; i++)
        {
            double distance = Math.Abs(i + 0.5 - center);
            int at = Math.Clamp(i, first, last);
            if (!shrinks)
                weights[at - first] += Mitchell(distance);
            else if (at == i)
                weights[at - first] += Math.Max(0, 1 - distance / ratio);
        }
        double sum = weights.Sum();
        return new ResamplingTaps(first, Array.ConvertAll(weights, w => (float)(w / sum)));
    }

    /// <summary>The cubic with B = C = 1/3 at a distance from the centre.</summary>
    private static double Mitchell(double t)
    {
        if (t < 1)
            return (7 * t * t * t - 12 * t * t + 16.0 / 3) / 6;
        return t < 2 ? (-7.0 / 3 * t * t * t + 12 * t * t - 20 * t + 32.0 / 3) / 6 : 0;
    }
}
