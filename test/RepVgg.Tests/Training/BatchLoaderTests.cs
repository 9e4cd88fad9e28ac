using RepVgg.Architectures;
using RepVgg.Training;
using RepVgg.Training.Data;
using Xunit;

namespace RepVgg.Tests.Training;

public class BatchLoaderTests
{
    private static readonly ImageAugmenter _augmenter = new(Augmentation.None, Normalization.Identity(1), 1, 1, 2);

    private static InMemorySamples Source(int count) =>
        new([.. Enumerable.Range(0, count).SelectMany(i => new[] { (float)i, i + 0.5f })], [.. Enumerable.Range(0, count).Select(i => i % 3)], 1, 1, 2, 3);

    private static (List<int> Order, List<int> Sizes) Drain(BatchLoader loader)
    {
        var (order, sizes) = (new List<int>(), new List<int>());
        while (loader.Next() is { } batch)
        {
            sizes.Add(batch.Count);
            for (int i = 0; i < batch.Count; i++)
            {
                int sample = (int)batch.Images[2 * i];
                Assert.Equal(sample + 0.5f, batch.Images[2 * i + 1]);
                Assert.Equal(sample % 3, batch.Labels[i]);
                order.Add(sample);
            }
        }
        loader.Dispose();
        return (order, sizes);
    }

    [Theory]
    [InlineData(2, 2)]
    [InlineData(3, 2)]
    [InlineData(5, 2)]
    [InlineData(7, 3)]
    [InlineData(64, 16)]
    [InlineData(65, 16)]
    [InlineData(1000, 999)]
    [InlineData(10, 100)]
    public void Training_serves_every_sample_once_in_even_batches(int count, int batchSize)
    {
        var (order, sizes) = Drain(BatchLoader.Training(Source(count), _augmenter, batchSize, seed: 3, epoch: 1));
        Assert.Equal(Enumerable.Range(0, count), order.Order());
        Assert.True(sizes.Max() - sizes.Min() <= 1);
        Assert.True(sizes.Min() >= 2);
        Assert.True(sizes.Max() <= batchSize + 1);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Images_of_bytes_give_the_batches_of_the_same_images_of_floats(bool spills)
    {
        const int Count = 23, Size = 18;
        byte[] pixels = new byte[Count * Size * Size];
        new Random(1).NextBytes(pixels);
        int[] labels = [.. Enumerable.Range(0, Count).Select(i => i % 3)];
        using var cache = new SampleCache(1, Size, Size, 3, spills ? 0 : SampleCache.DefaultMemoryLimit);
        for (int i = 0; i < Count; i++)
            cache.Add(pixels.AsSpan(i * Size * Size, Size * Size), labels[i]);
        var floats = new InMemorySamples(Array.ConvertAll(pixels, pixel => (float)pixel), labels, 1, Size, Size, 3);
        var augmenter = new ImageAugmenter(new() { HorizontalFlip = true, CropPadding = 3 }, new([100], [0.02f]), 1, Size, Size);
        foreach (bool training in new[] { false, true })
        {
            using var ours = Load(cache, training);
            using var expected = Load(floats, training);
            while (expected.Next() is { } batch)
            {
                var same = ours.Next()!;
                Assert.Equal(batch.Images.ToArray(), same.Images.ToArray());
                Assert.Equal(batch.Labels.ToArray(), same.Labels.ToArray());
            }
            Assert.Null(ours.Next());
        }

        BatchLoader Load(ISampleSource source, bool training) =>
            training ? BatchLoader.Training(source, augmenter, 8, seed: 3, epoch: 2) : BatchLoader.Evaluation(source, augmenter, 8);
    }

    [Fact]
    public void Every_epoch_has_its_own_order_and_every_seed_too()
    {
        var source = Source(200);
        List<int> Order(ulong seed, int epoch) => Drain(BatchLoader.Training(source, _augmenter, 16, seed, epoch)).Order;
        Assert.Equal(Order(3, 1), Order(3, 1));
        Assert.NotEqual(Order(3, 1), Order(3, 2));
        Assert.NotEqual(Order(3, 1), Order(4, 1));
        Assert.NotEqual(Enumerable.Range(0, 200), Order(3, 1));
    }

    [Fact]
    public void Evaluation_serves_every_sample_in_order()
    {
        var (order, sizes) = Drain(BatchLoader.Evaluation(Source(11), _augmenter, 4));
        Assert.Equal(Enumerable.Range(0, 11), order);
        Assert.Equal(3, sizes.Count);
    }

    [Fact]
    public void Errors_of_the_source_reach_the_caller()
    {
        using var loader = BatchLoader.Evaluation(new BrokenSource(), _augmenter, 2);
        loader.Next();
        Assert.Equal("disk gone", Assert.Throws<IOException>(() => { while (loader.Next() is not null) { } }).Message);
    }

    private sealed class BrokenSource : ISampleSource
    {
        public int Count => 10;
        public int Channels => 1;
        public int Height => 1;
        public int Width => 2;
        public int Classes => 3;

        public int Read(int index, Span<float> pixels) => index < 5 ? 0 : throw new IOException("disk gone");

        public int LabelOf(int index) => 0;
    }
}
