using RepVgg.Architectures;
using RepVgg.Training.Data;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Computes the normalization that gives the training images mean 0 and standard deviation 1 per channel.</summary>
internal static class PixelStatistics
{
    /// <summary>Maximum number of images that are read. They are evenly spaced over the set and give about three significant digits.</summary>
    private const int MaximumSamples = 10_000;

    public static Normalization Measure(ISampleSource samples)
    {
        int plane = samples.Height * samples.Width, count = Math.Min(samples.Count, MaximumSamples);
        float[] pixels = new float[samples.Channels * plane];
        double[] sum = new double[samples.Channels], squares = new double[samples.Channels];
        for (int i = 0; i < count; i++)
        {
            samples.Read((int)((long)i * samples.Count / count), pixels);
            for (int channel = 0; channel < samples.Channels; channel++)
            {
                foreach (float value in pixels.AsSpan(channel * plane, plane))
                {
                    sum[channel] += value;
                    squares[channel] += (double)value * value;
                }
            }
        }

        double total = (double)count * plane;
        var mean = sum.Select(value => value / total).ToArray();
        // A channel whose standard deviation is at most 1e-6 has scale 1.
        var deviation = squares.Select((value, channel) => Math.Sqrt(Math.Max(0, value / total - mean[channel] * mean[channel])));
        return new Normalization([.. mean.Select(value => (float)value)], [.. deviation.Select(value => value > 1e-6 ? (float)(1 / value) : 1f)]);
    }
}
