using RepVgg.Architectures;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using Xunit;

namespace RepVgg.Tests.Training.Data;

/// <summary>Images of several sizes in a cache, whose content is decoded where the pixels do not fit into memory.</summary>
public class WholeImageCacheTests
{
    private const int Channels = 3, Count = 40;

    private static (int Height, int Width) Size(int index) => (5 + index % 7, 4 + index % 11);

    private static byte[] Pixels(int index)
    {
        var (height, width) = Size(index);
        byte[] pixels = new byte[Channels * height * width];
        new Random(index).NextBytes(pixels);
        return pixels;
    }

    /// <summary>The content of an image is its index; decoding it gives the pixels.</summary>
    private static byte[] Content(int index) => [(byte)index, .. new byte[index % 3]];

    private static WholeImageCache Fill(long memoryLimit, string folder, Func<int, bool> isEncoded, Action? decoded = null)
    {
        var cache = new WholeImageCache(Channels, 4, 4, 3, Decode, memoryLimit, folder);
        for (int i = 0; i < Count; i++)
        {
            var (height, width) = Size(i);
            cache.Add(new WholeImage(Pixels(i), height, width), isEncoded(i) ? Content(i) : [], i % 3, 100 + i, i == 7 ? 2.5f : 1);
        }
        return cache;

        void Decode(ReadOnlySpan<byte> encoded, int height, int width, Span<byte> pixels)
        {
            Assert.Equal((Content(encoded[0]).Length, Size(encoded[0])), (encoded.Length, (height, width)));
            Pixels(encoded[0]).CopyTo(pixels);
            decoded?.Invoke();
        }
    }

    // All pixels together are about 9 KB, and all contents 79 bytes.
    [Theory]
    [InlineData(long.MaxValue, true, true)]
    [InlineData(5000, true, true)]
    [InlineData(79, true, true)]
    [InlineData(40, true, true)]
    [InlineData(0, true, true)]
    [InlineData(5000, false, false)]
    [InlineData(0, false, false)]
    [InlineData(5000, true, false)]
    [InlineData(900, true, false)]
    public void Gives_back_what_went_in_within_the_limit(long memoryLimit, bool evenAreEncoded, bool oddAreEncoded)
    {
        using var folder = new TemporaryFolder();
        int decoded = 0;
        using (var cache = Fill(memoryLimit, folder.Path, i => i % 2 == 0 ? evenAreEncoded : oddAreEncoded, () => decoded++))
        {
            Assert.Equal(Count, cache.Count);
            Assert.True(cache.MemoryBytes <= memoryLimit);
            if (evenAreEncoded && oddAreEncoded)
            {
                // Only what does not fit even as the content of files is in the temporary file, and only what does not fit otherwise is decoded.
                Assert.Equal(memoryLimit < 79, cache.SpilledBytes > 0);
                Assert.Equal(memoryLimit < 12000, cache.UndecodedCount > 0);
            }
            byte[] buffer = new byte[Channels * 12 * 15];
            float[] floats = new float[buffer.Length];
            for (int i = Count - 1; i >= 0; i--)
            {
                byte[] pixels = Pixels(i);
                Assert.Equal(Size(i), cache.SizeOf(i));
                Assert.Equal(pixels, cache.ReadBytes(i, buffer).ToArray());
                Assert.Equal((i % 3, 100L + i, i == 7 ? 2.5f : 1), (cache.LabelOf(i), cache.RowOf(i), cache.WeightOf(i)));
                Assert.Equal(i % 2 == 0 ? evenAreEncoded : oddAreEncoded, cache.ReadEncoded(i) is { } content && content.AsSpan().SequenceEqual(Content(i)));
            }
            Assert.Equal(cache.UndecodedCount, decoded);
            Assert.Equal(3 % 3, cache.Read(3, floats));
            Assert.Equal(Pixels(3).Select(value => (float)value), floats[..Pixels(3).Length]);
            Assert.True(cache.HasWeights);
        }
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void Memory_that_is_left_has_as_many_pixels_as_fit()
    {
        using var folder = new TemporaryFolder();
        using var cache = Fill(6000, folder.Path, _ => true);
        int pixels = Enumerable.Range(0, Count).TakeWhile(i => Enumerable.Range(0, i + 1).Sum(j => Pixels(j).Length) + 79 <= 6000).Count();
        Assert.Equal(Count - pixels, cache.UndecodedCount);
    }

    [Theory]
    [InlineData(long.MaxValue)]
    [InlineData(5000)]
    [InlineData(40)]
    public void Memory_of_released_images_has_the_pixels_of_others(long memoryLimit)
    {
        using var folder = new TemporaryFolder();
        int decoded = 0;
        using var cache = Fill(memoryLimit, folder.Path, _ => true, () => decoded++);
        int before = cache.UndecodedCount;
        int[] released = [.. Enumerable.Range(0, Count).Where(i => i % 4 == 1)], kept = [.. Enumerable.Range(0, Count).Except(released)];
        cache.Release(released);
        Assert.True(cache.MemoryBytes <= memoryLimit);
        if (memoryLimit == long.MaxValue)
            Assert.Equal(kept.Sum(i => Pixels(i).Length + Content(i).Length), cache.MemoryBytes);
        else if (memoryLimit == 5000)
        {
            int[] others = [.. kept.Where(i => i >= Count - before)];
            int memory = kept.Sum(i => Content(i).Length) + kept.Where(i => i < Count - before).Sum(i => Pixels(i).Length);
            int fitting = Enumerable.Range(0, others.Length).TakeWhile(i => memory + others[..(i + 1)].Sum(j => Pixels(j).Length) <= memoryLimit).Count();
            Assert.InRange(fitting, 2, others.Length - 1);
            Assert.Equal(others.Length - fitting, cache.UndecodedCount);
        }
        decoded = 0;
        byte[] buffer = new byte[Channels * 12 * 15];
        foreach (int i in kept)
            Assert.Equal(Pixels(i), cache.ReadBytes(i, buffer).ToArray());
        Assert.Equal(cache.UndecodedCount, decoded);
        Assert.Contains("Row 101: the image was released", Assert.Throws<InvalidOperationException>(() => cache.ReadBytes(1, buffer).Length).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => cache.ReadEncoded(1));
        Assert.Throws<InvalidOperationException>(() => cache.Add(new WholeImage(Pixels(0), Size(0).Height, Size(0).Width), [], 0, 0));
    }

    [Fact]
    public void Batches_do_not_depend_on_where_images_are_or_on_the_number_of_threads()
    {
        using var folder = new TemporaryFolder();
        var augmentation = new Augmentation { RandomResizedCrop = new RandomResizedCrop(), HorizontalFlip = true, ColorJitter = new ColorJitter { Contrast = 0.4 } };
        float[]? expected = null;
        foreach (long limit in new[] { long.MaxValue, 4000, 40, 0 })
        {
            using var cache = Fill(limit, folder.Path, i => i % 5 != 0);
            for (int threads = 1; threads <= 3; threads++)
            {
                var augmenter = new ImageAugmenter(augmentation, Normalization.Identity(Channels), Channels, 4, 4);
                var images = new List<float>();
                using var loader = BatchLoader.Training(new SampleSubset(cache, Enumerable.Range(0, Count).Where(i => i % 4 != 1)), augmenter, 6, seed: 5, epoch: 2, threads: threads);
                while (loader.Next() is { } batch)
                    images.AddRange(batch.Images);
                Assert.Equal(30 * Channels * 4 * 4, images.Count);
                expected ??= [.. images];
                Assert.Equal(expected, images);
            }
        }
    }

    [Fact]
    public void Wrong_images_are_refused_with_their_row()
    {
        using var cache = new WholeImageCache(3, 4, 4, 3, (_, _, _, _) => { });
        Assert.Contains("Row 12: the image has 74 values, not 3 x 5 x 5.", Assert.Throws<ArgumentException>(() => cache.Add(new WholeImage(new byte[74], 5, 5), [], 0, 12)).Message);
        Assert.Contains("Row 3: label 3 is outside 0 .. 2", Assert.Throws<ArgumentException>(() => cache.Add(new WholeImage(new byte[75], 5, 5), [], 3, 3)).Message);
    }
}
