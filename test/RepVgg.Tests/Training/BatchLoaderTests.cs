using RepVgg.Architectures;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using Xunit;

namespace RepVgg.Tests.Training;

public class BatchLoaderTests
{
    private static readonly ImageAugmenter _augmenter = new(Augmentation.None, Normalization.Identity(1), 1, 1, 2);

    private static InMemorySamples Source(int count) =>
        new([.. Enumerable.Range(0, count).SelectMany(i => new[] { (float)i, i + 0.5f })], [.. Enumerable.Range(0, count).Select(i => i % 3)], 1, 1, 2, 3);

    private static (List<int> Order, List<int> Sizes) Drain(BatchLoader<LabeledBatch> loader)
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

        BatchLoader<LabeledBatch> Load(ISampleSource source, bool training) =>
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

    [Theory]
    [InlineData(2)]
    [InlineData(5)]
    [InlineData(40)]
    public void Any_number_of_threads_gives_the_same_batches(int threads)
    {
        const int Count = 150, Size = 12;
        byte[] pixels = new byte[Count * Size * Size];
        new Random(1).NextBytes(pixels);
        var source = new InMemorySamples(pixels, [.. Enumerable.Range(0, Count).Select(i => i % 3)], 1, Size, Size, 3);
        var augmentation = new Augmentation { RandomResizedCrop = new(), RandAugment = new(), HorizontalFlip = true, Mixing = new Mixing { MixupAlpha = 0.2, CutMixAlpha = 1 } };
        var augmenter = new ImageAugmenter(augmentation, new([100], [0.02f]), 1, Size, Size);
        var targets = new TrainingTargets(augmentation.Mixing, 0.1f, 3, Size, Size);
        using var expected = BatchLoader.Training(source, augmenter, 4, seed: 3, epoch: 2, targets: targets, threads: 1);
        using var ours = BatchLoader.Training(source, augmenter.Clone(), 4, seed: 3, epoch: 2, targets: targets, threads: threads);
        while (expected.Next() is { } batch)
        {
            var same = ours.Next()!;
            Assert.Equal(batch.Images.ToArray(), same.Images.ToArray());
            Assert.Equal(batch.Labels.ToArray(), same.Labels.ToArray());
            Assert.Equal(batch.Targets.ToArray(), same.Targets.ToArray());
        }
        Assert.Null(ours.Next());
    }

    [Fact]
    public void A_balanced_pass_has_equal_numbers_of_images_of_every_class_and_repeats_them_evenly()
    {
        // 60 images of class 0, 30 of class 1 and 5 of class 3; none of class 2.
        int[] labels = [.. Enumerable.Repeat(0, 60), .. Enumerable.Repeat(1, 30), .. Enumerable.Repeat(3, 5)];
        var source = new InMemorySamples([.. Enumerable.Range(0, 95).SelectMany(i => new[] { (float)i, 0f })], labels, 1, 1, 2, 4);
        List<int> Pass(int epoch)
        {
            using var loader = BatchLoader.Training(source, _augmenter, 10, seed: 3, epoch, balanced: true);
            var images = new List<int>();
            while (loader.Next() is { } batch)
                images.AddRange(Enumerable.Range(0, batch.Count).Select(i => (int)batch.Images[2 * i]));
            return images;
        }
        var first = Pass(1);
        Assert.Equal(95, first.Count);
        Assert.All(first.GroupBy(image => labels[image]), group => Assert.InRange(group.Count(), 31, 32));
        Assert.Equal(3, first.Select(image => labels[image]).Distinct().Count());
        foreach (var ofClass in first.GroupBy(image => labels[image]))
        {
            int[] counts = [.. ofClass.GroupBy(image => image).Select(group => group.Count())];
            Assert.InRange(counts.Max() - counts.Min(), 0, 1);
        }
        Assert.Equal(30, first.Where(image => labels[image] == 1).Distinct().Count());
        Assert.Equal(first, Pass(1));
        Assert.NotEqual(first, Pass(2));
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

    [Fact]
    public void Errors_of_the_source_have_its_stack_every_time()
    {
        using var loader = BatchLoader.Evaluation(new BrokenSource(), _augmenter, 10);
        for (int time = 0; time < 3; time++)
            Assert.Contains(nameof(BrokenSource), Assert.Throws<IOException>(() => loader.Next()).StackTrace, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_read_of_a_pass_is_on_one_background_thread_of_the_loader()
    {
        var source = new ObservedSource(count: 50);
        using (var loader = BatchLoader.Training(source, _augmenter, 8, seed: 1, epoch: 1))
        {
            while (loader.Next() is not null)
            {
            }
        }
        var thread = Assert.Single(source.Threads.Distinct());
        Assert.False(source.IsOnThreadPool);
        Assert.Equal("RepVgg batch loader", thread.Name);
        Assert.True(thread.Join(TimeSpan.FromMinutes(1)));
    }

    [Fact]
    public void Nothing_is_read_after_the_loader_is_disposed()
    {
        var source = new ObservedSource(count: 1000);
        var loader = BatchLoader.Training(source, _augmenter, 100, seed: 1, epoch: 1);
        loader.Next();
        loader.Dispose();
        int read = source.Threads.Count;
        Assert.InRange(read, 100, 200);
        Assert.All(source.Threads.Distinct(), thread => Assert.True(thread.Join(TimeSpan.FromMinutes(1))));
        Assert.Equal(read, source.Threads.Count);
        loader.Dispose();
    }

    [Fact]
    public void A_wait_for_a_batch_can_be_cancelled_and_a_read_that_does_not_return_does_not_hold_the_loader()
    {
        using var stop = new CancellationTokenSource();
        using var resume = new ManualResetEventSlim();
        var source = new ObservedSource(count: 20)
        {
            BeforeRead = () =>
            {
                stop.Cancel();
                resume.Wait();
            },
        };
        var loader = BatchLoader.Evaluation(source, _augmenter, 10);
        Assert.Null(loader.Next(stop.Token));
        loader.Dispose();
        resume.Set();
        Assert.True(Assert.Single(source.Threads.Distinct()).Join(TimeSpan.FromMinutes(1)));
    }

    [Fact]
    public void A_batch_whose_read_returns_after_the_loader_is_disposed_is_not_staged()
    {
        using var stop = new CancellationTokenSource();
        using var resume = new ManualResetEventSlim();
        var source = new ObservedSource(count: 1)
        {
            BeforeRead = () =>
            {
                stop.Cancel();
                resume.Wait();
            },
        };
        using var device = new AlteredBackend();
        var loader = BatchLoader.Evaluation(source, _augmenter, 1, device);
        Assert.Null(loader.Next(stop.Token));
        loader.Dispose();
        resume.Set();
        Assert.True(Assert.Single(source.Threads).Join(TimeSpan.FromMinutes(1)));
        Assert.Equal(0, device.StagedBatches);
    }

    [Fact]
    public void One_batch_can_be_prepared_without_the_others()
    {
        var source = Source(23);
        using var all = BatchLoader.Training(source, _augmenter, 8, seed: 5, epoch: 2);
        for (int i = 0; all.Next() is { } expected; i++)
        {
            using var one = BatchLoader.Training(source, _augmenter, 8, seed: 5, epoch: 2);
            var batch = one.Prepare(i);
            Assert.Equal(expected.Images.ToArray(), batch.Images.ToArray());
            Assert.Equal(expected.Labels.ToArray(), batch.Labels.ToArray());
        }
    }

    private sealed class ObservedSource(int count) : ISampleSource
    {
        public Action BeforeRead { get; init; } = () => { };
        public List<Thread> Threads { get; } = [];
        public bool IsOnThreadPool { get; private set; }
        public int Count => count;
        public int Channels => 1;
        public int Height => 1;
        public int Width => 2;
        public int Classes => 3;

        public int Read(int index, Span<float> pixels)
        {
            Threads.Add(Thread.CurrentThread);
            IsOnThreadPool |= Thread.CurrentThread.IsThreadPoolThread;
            BeforeRead();
            return 0;
        }

        public int LabelOf(int index) => 0;
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
