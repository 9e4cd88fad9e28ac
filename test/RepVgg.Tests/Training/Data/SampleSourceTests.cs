using RepVgg.Training.Data;
using Xunit;

namespace RepVgg.Tests.Training.Data;

public class SampleSourceTests
{
    [Fact]
    public void In_memory_reads_bytes_and_floats_alike()
    {
        byte[] bytes = [.. Enumerable.Range(0, 2 * 3 * 2 * 2).Select(i => (byte)(i * 9))];
        float[] floats = Array.ConvertAll(bytes, b => (float)b);
        var fromBytes = new InMemorySamples(bytes, [1, 0], 3, 2, 2, 2);
        var fromFloats = new InMemorySamples(floats, [1, 0], 3, 2, 2, 2);
        var a = new float[12];
        var b = new float[12];
        for (int i = 0; i < 2; i++)
        {
            Assert.Equal(1 - i, fromBytes.Read(i, a));
            Assert.Equal(1 - i, fromFloats.Read(i, b));
            Assert.Equal(floats.AsSpan(12 * i, 12).ToArray(), a);
            Assert.Equal(a, b);
            Assert.Equal(bytes.AsSpan(12 * i, 12), fromBytes.ReadBytes(i, []));
            Assert.Equal(bytes.AsSpan(12 * i, 12), new SampleSubset(fromBytes, [1, 0]).ReadBytes(1 - i, []));
            Assert.True(fromFloats.ReadBytes(i, new byte[12]).IsEmpty);
        }
    }

    [Fact]
    public void In_memory_names_the_bad_row()
    {
        Assert.Contains("Row 1: label 2", Assert.Throws<ArgumentException>(() => new InMemorySamples(new byte[8], [0, 2], 1, 2, 2, 2)).Message, StringComparison.Ordinal);
        Assert.Contains("Row 1: pixel 2 is NaN", Assert.Throws<ArgumentException>(() => new InMemorySamples([0, 0, 0, 0, 0, 0, float.NaN, 0], [0, 1], 1, 2, 2, 2)).Message, StringComparison.Ordinal);
        Assert.Contains("Row 0: pixel 0 is", Assert.Throws<ArgumentException>(() => new InMemorySamples([float.PositiveInfinity, 0, 0, 0], [0], 1, 2, 2, 2)).Message, StringComparison.Ordinal);
        Assert.Contains("2 labels require 8", Assert.Throws<ArgumentException>(() => new InMemorySamples(new byte[7], [0, 1], 1, 2, 2, 2)).Message, StringComparison.Ordinal);
        Assert.Contains("1 channel", Assert.Throws<ArgumentOutOfRangeException>(() => new InMemorySamples(new byte[8], [0], 2, 2, 2, 2)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Subset_reads_the_chosen_ones()
    {
        var source = new InMemorySamples([10, 20, 30, 40], [0, 1, 2, 3], 1, 1, 1, 4);
        var subset = new SampleSubset(source, [3, 1, 1]);
        var pixel = new float[1];
        Assert.Equal(3, subset.Count);
        Assert.Equal(3, subset.Read(0, pixel));
        Assert.Equal(40f, pixel[0]);
        Assert.Equal(1, subset.Read(2, pixel));
        Assert.Equal(20f, pixel[0]);
        Assert.Equal(1, subset.LabelOf(1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new SampleSubset(source, [4]));
    }

    [Fact]
    public void Split_keeps_the_mix_of_classes()
    {
        // 100 of class 0, 50 of class 1, 10 of class 2, 1 of class 3.
        int[] labels = [.. Enumerable.Range(0, 161).Select(i => i < 100 ? 0 : i < 150 ? 1 : i < 160 ? 2 : 3)];
        var source = new InMemorySamples([.. Enumerable.Range(0, 161).Select(i => (byte)i)], labels, 1, 1, 1, 4);
        var (first, second) = SampleSubset.Split(source, 0.2, 7);

        Assert.Equal([80, 40, 8, 1], CountLabels(first));
        Assert.Equal([20, 10, 2, 0], CountLabels(second));
        Assert.Equal(Enumerable.Range(0, 161), Pixels(first).Concat(Pixels(second)).Order());
        var (again, _) = SampleSubset.Split(source, 0.2, 7);
        Assert.Equal(Pixels(first), Pixels(again));
        var (other, _) = SampleSubset.Split(source, 0.2, 8);
        Assert.NotEqual(Pixels(first), Pixels(other));
    }

    [Fact]
    public void Split_refuses_what_cannot_be_split()
    {
        var source = new InMemorySamples([1, 2, 3], [0, 1, 2], 1, 1, 1, 3);
        Assert.Contains("3 samples are too few", Assert.Throws<ArgumentException>(() => SampleSubset.Split(source, 0.5, 1)).Message, StringComparison.Ordinal);
        foreach (double fraction in new[] { 0, 1, -0.1, double.NaN })
            Assert.Throws<ArgumentOutOfRangeException>(() => SampleSubset.Split(source, fraction, 1));
    }

    private static int[] CountLabels(ISampleSource source)
    {
        var counts = new int[source.Classes];
        for (int i = 0; i < source.Count; i++)
            counts[source.LabelOf(i)]++;
        return counts;
    }

    private static List<int> Pixels(ISampleSource source)
    {
        var pixel = new float[1];
        var list = new List<int>();
        for (int i = 0; i < source.Count; i++)
        {
            source.Read(i, pixel);
            list.Add((int)pixel[0]);
        }
        return list;
    }
}
