using System.Numerics;
using RepVgg.Networks;

namespace RepVgg.Quantizers;

/// <summary>The values of one activation on the calibration images: their bounds and, from a second pass, their histogram, from which a calibrator chooses the range.</summary>
internal sealed class ActivationRange
{
    private const int Bins = 2048;

    // The levels of a byte, and the number added to empty bins, whose logarithm would be infinite.
    private const int Levels = 256;
    private const double Smoothing = 1e-4;

    private readonly long[] _counts = new long[Bins];

    /// <summary>Smallest value; more than <see cref="Maximum"/> if there was none.</summary>
    public float Minimum { get; private set; } = float.MaxValue;

    /// <summary>Largest value.</summary>
    public float Maximum { get; private set; } = float.MinValue;

    /// <summary>Widens the bounds to some values.</summary>
    /// <returns>False if a value is not finite; the bounds are undefined then.</returns>
    public bool Include(ReadOnlySpan<float> values)
    {
        var (low, high) = (new Vector<float>(Minimum), new Vector<float>(Maximum));
        int i = 0;
        for (; i + Vector<float>.Count <= values.Length; i += Vector<float>.Count)
        {
            var vector = new Vector<float>(values[i..]);
            // The minimum and maximum of these functions with a NaN are NaN.
            (low, high) = (Vector.Min(low, vector), Vector.Max(high, vector));
        }
        var (minimum, maximum) = (Minimum, Maximum);
        for (int lane = 0; lane < Vector<float>.Count; lane++)
            (minimum, maximum) = (MathF.Min(minimum, low[lane]), MathF.Max(maximum, high[lane]));
        for (; i < values.Length; i++)
            (minimum, maximum) = (MathF.Min(minimum, values[i]), MathF.Max(maximum, values[i]));
        (Minimum, Maximum) = (minimum, maximum);
        return float.IsFinite(minimum) && float.IsFinite(maximum);
    }

    /// <summary>Counts values in the histogram, whose bins divide the range from 0 to <see cref="Maximum"/>; values below 0 are not counted.</summary>
    public void Count(ReadOnlySpan<float> values)
    {
        if (!(Maximum > 0))
            return;
        float binsPerUnit = Bins / Maximum;
        foreach (float value in values)
        {
            if (value >= 0)
                _counts[Math.Min((int)(value * binsPerUnit), Bins - 1)]++;
        }
    }

    /// <summary>Chooses how the activation is stored.</summary>
    /// <param name="options">The calibrator; all but <see cref="Calibrator.MinMax"/> need the histogram.</param>
    public QuantizationParameters Choose(QuantizationOptions options)
    {
        if (!(Maximum > 0))
            return QuantizationParameters.FromRange(Math.Min(Minimum, 0), 0);
        int bins = options.Calibrator switch
        {
            Calibrator.Percentile => BinsOfPercentile(options.Percentile),
            Calibrator.Entropy => BinsOfEntropy(),
            Calibrator.MeanSquaredError => BinsOfSquaredError(),
            _ => Bins,
        };
        return QuantizationParameters.FromRange(Minimum, bins == Bins ? Maximum : Maximum * ((float)bins / Bins));
    }

    /// <summary>The least number of bins that contain a percentage of the values.</summary>
    private int BinsOfPercentile(double percentile)
    {
        double wanted = _counts.Sum() * (percentile / 100), found = 0;
        int bins = 0;
        while (bins < Bins && found < wanted)
            found += _counts[bins++];
        return Math.Max(bins, 1);
    }

    /// <summary>
    /// The number of bins with the least divergence KL(P || Q). P is the histogram of the values, of which those above the range are in the last bin. Q is that of the
    /// quantized values: the bins are merged to as many as a byte has levels, and the count of each is divided evenly among the bins of it that are not empty.
    /// </summary>
    private int BinsOfEntropy()
    {
        int best = Bins;
        double least = double.PositiveInfinity;
        var expanded = new double[Bins];
        // Zeros, which a ReLU makes in large numbers, are exact in any range. They would hide the divergence of the other values.
        long[] counts = [.. _counts];
        counts[0] = 0;
        long total = counts.Sum();
        if (total == 0)
            return Bins;
        for (int bins = Levels; bins <= Bins; bins += 16)
        {
            long inside = 0;
            for (int level = 0; level < Levels; level++)
            {
                int first = (int)((long)level * bins / Levels), end = (int)((level + 1L) * bins / Levels), used = 0;
                long sum = 0;
                for (int bin = first; bin < end; bin++)
                {
                    sum += counts[bin];
                    used += counts[bin] > 0 ? 1 : 0;
                }
                inside += sum;
                for (int bin = first; bin < end; bin++)
                    expanded[bin] = counts[bin] > 0 ? (double)sum / used : 0;
            }
            long outside = total - inside;
            double divergence = 0, scale = inside == 0 ? 0 : 1.0 / inside;
            for (int bin = 0; bin < bins; bin++)
            {
                double p = (double)(counts[bin] + (bin == bins - 1 ? outside : 0)) / total, q = expanded[bin] * scale;
                if (p > 0)
                    divergence += p * Math.Log(p / Math.Max(q, Smoothing / total));
            }
            if (divergence < least)
                (least, best) = (divergence, bins);
        }
        return best;
    }

    /// <summary>The number of bins with the least sum of squared differences between values, which are taken as the centres of their bins, and quantized values.</summary>
    private int BinsOfSquaredError()
    {
        int best = Bins;
        double least = double.PositiveInfinity, lowest = Math.Min(Minimum, 0) / (double)Maximum * Bins;
        for (int bins = Bins / 8; bins <= Bins; bins += 8)
        {
            // In units of bins: the step between levels, and the error inside the range, which is uniform where a step has several bins.
            double step = (bins - lowest) / (Levels - 1), error = 0;
            for (int bin = 1; bin < Bins; bin++)
            {
                if (_counts[bin] == 0)
                    continue;
                double value = bin + 0.5, quantized = Math.Min(Math.Round(value / step) * step, bins);
                error += _counts[bin] * ((value - quantized) * (value - quantized));
            }
            if (error < least)
                (least, best) = (error, bins);
        }
        return best;
    }
}
