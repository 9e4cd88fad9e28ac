using System.Numerics;
using RepVgg.Architectures;
using RepVgg.Runtime.Threading;
using RepVgg.Training.Data;

namespace Microsoft.ML.RepVgg.Input;

/// <summary>Computes the normalization that gives the training images mean 0 and standard deviation 1 per channel.</summary>
internal static class PixelStatistics
{
    /// <summary>Maximum number of images that are read. They are evenly spaced over the set and give about three significant digits.</summary>
    private const int MaximumSamples = 10_000;

    /// <summary>Computes the normalization. Every image counts the same, whatever its size.</summary>
    /// <param name="samples">The images.</param>
    /// <param name="limit">Pixels with a larger absolute value are left out; see <see cref="PixelOutliers"/>.</param>
    /// <param name="threads">Maximum number of threads if all images are bytes, which may have to be decoded; 0 for all cores. The result does not depend on it.</param>
    public static Normalization Measure(ISampleSource samples, float limit = float.PositiveInfinity, int threads = 1)
    {
        int count = Math.Min(samples.Count, MaximumSamples);
        int[] indices = [.. Enumerable.Range(0, count).Select(i => (int)((long)i * samples.Count / count))];
        return samples.AreBytes ? OfBytes(samples, indices, ThreadCount.Resolve(threads)) : OfAny(samples, indices, limit);
    }

    private static Normalization OfAny(ISampleSource samples, int[] indices, float limit)
    {
        int plane = samples.Height * samples.Width;
        float[] pixels = new float[samples.Channels * plane];
        byte[] buffer = new byte[pixels.Length];
        double[] sum = new double[samples.Channels], squares = new double[samples.Channels];
        long[] totals = new long[samples.Channels];
        foreach (int index in indices)
        {
            var bytes = samples.ReadBytes(index, buffer);
            if (bytes.IsEmpty)
                samples.Read(index, pixels);
            for (int channel = 0; channel < samples.Channels; channel++)
            {
                totals[channel] += plane;
                if (bytes.IsEmpty)
                {
                    totals[channel] -= Add(pixels.AsSpan(channel * plane, plane), limit, ref sum[channel], ref squares[channel]);
                    continue;
                }
                var (total, totalSquares) = Sums(bytes.Slice(channel * plane, plane));
                (sum[channel], squares[channel]) = (sum[channel] + total, squares[channel] + totalSquares);
            }
        }
        return Of(sum, squares, totals);
    }

    private static Normalization OfBytes(ISampleSource samples, int[] indices, int threads)
    {
        int channels = samples.Channels;
        var means = new (double Values, double Squares)[indices.Length * channels];
        byte[][] buffers = [.. Enumerable.Repeat(Array.Empty<byte>(), threads)];
        new ParallelLoop(threads).Run(indices.Length, (i, worker) =>
        {
            var (height, width) = samples.SizeOf(indices[i]);
            int plane = height * width;
            if (buffers[worker].Length < channels * plane)
                buffers[worker] = new byte[channels * plane];
            var bytes = samples.ReadBytes(indices[i], buffers[worker]);
            for (int channel = 0; channel < channels; channel++)
            {
                var (total, totalSquares) = Sums(bytes.Slice(channel * plane, plane));
                means[i * channels + channel] = (total / plane, totalSquares / plane);
            }
        });
        double[] sum = new double[channels], squares = new double[channels];
        for (int i = 0; i < means.Length; i++)
        {
            sum[i % channels] += means[i].Values;
            squares[i % channels] += means[i].Squares;
        }
        return Of(sum, squares, [.. Enumerable.Repeat((long)indices.Length, channels)]);
    }

    /// <summary>Computes the normalization from the sums of the values and of their squares, and their number, for each channel.</summary>
    private static Normalization Of(double[] sum, double[] squares, long[] totals)
    {
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

    /// <summary>Computes the sum and the sum of the squares of bytes. Both are integers below 2^53, so they are exact, as the sums in double precision of the same values are.</summary>
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
