using System.Numerics;
using RepVgg.Architectures;
using RepVgg.Training.Data;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Computes the normalization that gives the training images mean 0 and standard deviation 1 per channel.</summary>
internal static class PixelStatistics
{
    /// <summary>Maximum number of images that are read. They are evenly spaced over the set and give about three significant digits.</summary>
    private const int MaximumSamples = 10_000;

    /// <param name="samples">The images.</param>
    /// <param name="limit">Pixels with a larger absolute value are left out; see <see cref="PixelOutliers"/>.</param>
    public static Normalization Measure(ISampleSource samples, float limit = float.PositiveInfinity)
    {
        int count = Math.Min(samples.Count, MaximumSamples);
        float[] pixels = new float[samples.Channels * samples.Height * samples.Width];
        byte[] buffer = new byte[pixels.Length];
        double[] sum = new double[samples.Channels], squares = new double[samples.Channels];
        long[] totals = new long[samples.Channels];
        for (int i = 0; i < count; i++)
        {
            int index = (int)((long)i * samples.Count / count);
            var size = samples.SizeOf(index);
            int plane = size.Height * size.Width;
            if (buffer.Length < samples.Channels * plane)
                buffer = new byte[samples.Channels * plane];
            var bytes = samples.ReadBytes(index, buffer);
            if (bytes.IsEmpty)
                samples.Read(index, pixels);
            // Every image counts the same, whatever its size. For images of the network's size the share is 1.
            double share = (double)samples.Height * samples.Width / plane;
            for (int channel = 0; channel < samples.Channels; channel++)
            {
                totals[channel] += samples.Height * samples.Width;
                if (bytes.IsEmpty)
                    totals[channel] -= Add(pixels.AsSpan(channel * plane, plane), limit, ref sum[channel], ref squares[channel]);
                else
                    Add(bytes.Slice(channel * plane, plane), share, ref sum[channel], ref squares[channel]);
            }
        }

        // A channel in which every pixel was left out has mean 0.
        var mean = sum.Select((value, channel) => value / Math.Max(totals[channel], 1)).ToArray();
        // A channel of one value has scale 1. Its computed standard deviation is the rounding error of the sums.
        var deviation = squares.Select((value, channel) => Math.Sqrt(Math.Max(0, value / Math.Max(totals[channel], 1) - mean[channel] * mean[channel])));
        return new Normalization([.. mean.Select(value => (float)value)], [.. deviation.Select((value, channel) => value > Math.Max(1e-6, 1e-5 * Math.Abs(mean[channel])) ? (float)(1 / value) : 1f)]);
    }

    /// <returns>Number of values that were left out.</returns>
    private static int Add(ReadOnlySpan<float> values, float limit, ref double sum, ref double squares)
    {
        int leftOut = 0;
        foreach (float value in values)
        {
            if (Math.Abs(value) > limit)
            {
                leftOut++;
                continue;
            }
            sum += value;
            squares += (double)value * value;
        }
        return leftOut;
    }

    /// <summary>Adds a multiple of the sum and of the sum of the squares of bytes. Both are integers below 2^53; with a share of 1, they are exact, as the sums in double precision of the same values are.</summary>
    private static void Add(ReadOnlySpan<byte> values, double share, ref double sum, ref double squares)
    {
        var (total, squaresOfAll) = Sums(values);
        sum += share * total;
        squares += share * squaresOfAll;
    }

    private static (double Sum, double Squares) Sums(ReadOnlySpan<byte> values)
    {
        double sum = 0, squares = 0;
        // Each lane of the sums gets four squares below 2^16 per vector, so 2^14 vectors do not overflow 32 bits.
        const int MaximumVectors = 1 << 14;
        while (values.Length >= Vector<byte>.Count)
        {
            var (sums, squaresOfLanes) = (Vector<uint>.Zero, Vector<uint>.Zero);
            int vectors = Math.Min(values.Length / Vector<byte>.Count, MaximumVectors);
            for (int i = 0; i < vectors; i++)
            {
                Vector.Widen(new Vector<byte>(values[(i * Vector<byte>.Count)..]), out var low, out var high);
                Vector.Widen(low, out var a, out var b);
                Vector.Widen(high, out var c, out var d);
                sums += a + b + c + d;
                squaresOfLanes += a * a + b * b + c * c + d * d;
            }
            for (int lane = 0; lane < Vector<uint>.Count; lane++)
            {
                sum += sums[lane];
                squares += squaresOfLanes[lane];
            }
            values = values[(vectors * Vector<byte>.Count)..];
        }
        foreach (byte value in values)
        {
            sum += value;
            squares += value * value;
        }
        return (sum, squares);
    }
}
