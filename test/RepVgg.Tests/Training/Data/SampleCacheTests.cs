using RepVgg.Testing;
using RepVgg.Training.Data;
using Xunit;

namespace RepVgg.Tests.Training.Data;

public class SampleCacheTests
{
    private const int Length = 3 * 4 * 5;

    /// <summary>Every third image has fractions, so that both ways of storing are mixed.</summary>
    private static float[] Image(int index)
    {
        var random = new Random(index);
        var pixels = new float[Length];
        for (int i = 0; i < Length; i++)
            pixels[i] = index % 3 == 2 ? random.NextSingle() * 300 - 20 : random.Next(256);
        return pixels;
    }

    [Theory]
    [InlineData(SampleCache.DefaultMemoryLimit, false)]
    [InlineData(5000, true)]
    [InlineData(0, true)]
    public void Gives_back_what_went_in(long memoryLimit, bool spills)
    {
        using var folder = new TemporaryFolder();
        using (var cache = new SampleCache(3, 4, 5, 7, memoryLimit, folder.Path))
        {
            for (int i = 0; i < 100; i++)
                cache.Add(Image(i), i % 7);
            Assert.Equal(100, cache.Count);
            Assert.Equal(spills, cache.SpilledBytes > 0);
            Assert.True(cache.MemoryBytes <= memoryLimit);

            Parallel.For(0, 400, n =>
            {
                int i = n * 37 % 100;
                var pixels = new float[Length];
                Assert.Equal(i % 7, cache.Read(i, pixels));
                Assert.Equal(Image(i), pixels);
                Assert.Equal(i % 7, cache.LabelOf(i));
            });
        }
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path));
    }

    [Theory]
    [InlineData(SampleCache.DefaultMemoryLimit)]
    [InlineData(0)]
    public void Bytes_are_read_as_bytes_and_as_floats(long memoryLimit)
    {
        using var cache = new SampleCache(3, 4, 5, 2, memoryLimit);
        byte[] image = [.. Image(0).Select(value => (byte)value)], buffer = new byte[Length];
        cache.Add(image, 1);
        cache.Add(Image(1), 0);
        cache.Add(Image(2), 1);
        var pixels = new float[Length];
        Assert.Equal(1, cache.Read(0, pixels));
        Assert.Equal(Image(0), pixels);
        Assert.Equal(image, cache.ReadBytes(0, buffer).ToArray());
        Assert.Equal(Image(1), cache.ReadBytes(1, buffer).ToArray().Select(value => (float)value));
        Assert.True(cache.ReadBytes(2, buffer).IsEmpty);
        Assert.Contains("Row 3: the image has 2 values; 3 x 4 x 5 = 60", Assert.Throws<ArgumentException>(() => cache.Add(new byte[2], 0)).Message, StringComparison.Ordinal);
        Assert.Contains("Row 9: label 2", Assert.Throws<ArgumentException>(() => cache.Add(image, 2, row: 9)).Message, StringComparison.Ordinal);
        Assert.Equal(3, cache.Count);
    }

    [Fact]
    public void Keeps_bytes_as_bytes()
    {
        using var bytes = new SampleCache(3, 4, 5, 2, 0);
        bytes.Add(Image(0), 0);
        Assert.Equal(Length, bytes.SpilledBytes);
        bytes.Add(Image(2), 1);
        Assert.Equal(Length + Length * sizeof(float), bytes.SpilledBytes);
    }

    [Theory]
    [InlineData(-1f)]
    [InlineData(256f)]
    [InlineData(0.5f)]
    [InlineData(254.99998f)]
    [InlineData(3e9f)]
    [InlineData(float.MinValue)]
    [InlineData(float.Epsilon)]
    public void Loses_no_value_that_a_bytes_cannot_hold(float value)
    {
        // At every position, so that both the vector code and the scalar remainder are tested.
        using var cache = new SampleCache(1, 1, 37, 2);
        var pixels = new float[37];
        for (int position = 0; position < 37; position++)
        {
            float[] image = [.. Enumerable.Range(0, 37).Select(i => i == position ? value : 7f * i)];
            cache.Add(image, 1);
            cache.Read(position, pixels);
            Assert.Equal(image, pixels);
        }
    }

    [Fact]
    public void Names_the_bad_row_and_stays_usable()
    {
        using var cache = new SampleCache(1, 2, 2, 3);
        cache.Add([1, 2, 3, 4], 0);
        Assert.Contains("Row 1: pixel 3 is NaN", Assert.Throws<ArgumentException>(() => cache.Add([1, 2, 3, float.NaN], 0)).Message, StringComparison.Ordinal);
        Assert.Contains("Row 17: pixel 0", Assert.Throws<ArgumentException>(() => cache.Add([float.NegativeInfinity, 2, 3, 4], 0, row: 17)).Message, StringComparison.Ordinal);
        Assert.Contains("Row 1: label 3", Assert.Throws<ArgumentException>(() => cache.Add([1, 2, 3, 4], 3)).Message, StringComparison.Ordinal);
        Assert.Contains("Row 1: the image has 3 values; 1 x 2 x 2 = 4", Assert.Throws<ArgumentException>(() => cache.Add([1, 2, 3], 0)).Message, StringComparison.Ordinal);
        cache.Add([5, 6, 7, 8], 2);
        Assert.Equal(2, cache.Count);
    }

    [Fact]
    public void Names_a_folder_that_cannot_be_written()
    {
        using var folder = new TemporaryFolder();
        using var cache = new SampleCache(1, 2, 2, 3, memoryLimit: 0, folder.File("missing"));
        Assert.Contains(folder.File("missing"), Assert.Throws<IOException>(() => cache.Add([1, 2, 3, 4], 0)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_use_after_dispose()
    {
        var cache = new SampleCache(1, 1, 1, 2);
        cache.Add([1], 0);
        cache.Dispose();
        cache.Dispose();
        Assert.Throws<ObjectDisposedException>(() => cache.Read(0, new float[1]));
        Assert.Throws<ObjectDisposedException>(() => cache.Add([1], 0));
    }
}
