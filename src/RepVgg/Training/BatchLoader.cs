using RepVgg.Backends;
using RepVgg.Runtime;
using RepVgg.Training.Data;

namespace RepVgg.Training;

/// <summary>Normalised images and labels of one training or validation step. The batch is valid until the next call of <see cref="BatchLoader.Next"/>.</summary>
internal sealed class Batch(int capacity, int imageLength)
{
    private readonly float[] _images = new float[capacity * imageLength];
    private readonly int[] _labels = new int[capacity];

    public int Count { get; set; }

    public Span<float> Images => _images.AsSpan(0, Count * imageLength);

    public Span<int> Labels => _labels.AsSpan(0, Count);

    /// <summary>The images that are being copied to the device; null if the loader has no device.</summary>
    public StagedInput? Staged { get; private set; }

    /// <summary>Starts copying the images to a device.</summary>
    public void Stage(Backend backend, ReadOnlySpan<int> imageShape)
    {
        Staged?.Dispose();
        Staged = backend.Stage([Count, .. imageShape], _images.AsMemory(0, Count * imageLength));
    }
}

/// <summary>Prepares the batches of one pass. Each batch is prepared on a thread-pool thread while the caller processes the previous batch.</summary>
/// <remarks>The content of a batch depends on the seed, the epoch and the samples, and not on timing.</remarks>
internal sealed class BatchLoader : IDisposable
{
    private readonly ISampleSource _source;
    private readonly ImageAugmenter _augmenter;
    private readonly int[]? _order;
    private readonly ulong _seed;
    private readonly int _epoch;
    private readonly int _imageLength;
    private readonly Batch[] _buffers;
    private readonly float[] _floats;
    private readonly byte[] _bytes;
    private readonly Backend? _device;
    private Task<Batch>? _pending;
    private int _next;

    private BatchLoader(ISampleSource source, ImageAugmenter augmenter, int[]? order, int batches, ulong seed, int epoch, Backend? device)
    {
        (_source, _augmenter, _order, _seed, _epoch, _device) = (source, augmenter, order, seed, epoch, device);
        Batches = batches;
        _imageLength = source.Channels * source.Height * source.Width;
        int capacity = (source.Count + batches - 1) / batches;
        _buffers = [new Batch(capacity, _imageLength), new Batch(capacity, _imageLength)];
        _floats = new float[_imageLength];
        _bytes = new byte[_imageLength];
    }

    /// <summary>Number of batches of the pass. Their sizes differ by at most one image.</summary>
    public int Batches { get; }

    /// <summary>Creates a loader for a training pass: shuffled and augmented. Batches are staged on the device, if one is given.</summary>
    public static BatchLoader Training(ISampleSource source, ImageAugmenter augmenter, int batchSize, ulong seed, int epoch, Backend? device = null)
    {
        int[] order = [.. Enumerable.Range(0, source.Count)];
        var random = new RandomStream(seed, RandomStream.Purpose.Shuffle, (ulong)epoch);
        random.Shuffle(order);
        return new BatchLoader(source, augmenter, order, TrainingBatches(source.Count, batchSize), seed, epoch, device);
    }

    /// <summary>Creates a loader for a validation pass: in the order of the source, without augmentation. Batches are staged on the device, if one is given.</summary>
    public static BatchLoader Evaluation(ISampleSource source, ImageAugmenter augmenter, int batchSize, Backend? device = null) =>
        new(source, augmenter, null, (source.Count + batchSize - 1) / batchSize, 0, 0, device);

    /// <summary>
    /// Number of training batches: count / batchSize rounded up, reduced if necessary so that every batch has at least two
    /// images if <paramref name="count"/> is at least 2.
    /// </summary>
    public static int TrainingBatches(int count, int batchSize) =>
        Math.Max(1, Math.Min((count + batchSize - 1) / batchSize, count / 2));

    /// <summary>The next batch, or null after the last.</summary>
    public Batch? Next()
    {
        if (_next == Batches)
            return null;
        _pending ??= Prepare(_next);
        var batch = _pending.GetAwaiter().GetResult();
        _next++;
        _pending = _next < Batches ? Prepare(_next) : null;
        return batch;
    }

    /// <summary>Waits for the batch that is being prepared, so that the source is no longer read afterwards, and releases the staged images.</summary>
    public void Dispose()
    {
        if (_pending is { } pending)
            ((IAsyncResult)pending).AsyncWaitHandle.WaitOne();
        foreach (var buffer in _buffers)
            buffer.Staged?.Dispose();
    }

    private Task<Batch> Prepare(int index) => Task.Run(() => Fill(index));

    private Batch Fill(int index)
    {
        var batch = _buffers[index & 1];
        int start = (int)((long)index * _source.Count / Batches), end = (int)((index + 1L) * _source.Count / Batches);
        batch.Count = end - start;
        for (int i = 0; i < batch.Count; i++)
        {
            int sample = _order is null ? start + i : _order[start + i];
            var destination = batch.Images.Slice(i * _imageLength, _imageLength);
            var bytes = _source.ReadBytes(sample, _bytes);
            if (bytes.IsEmpty)
            {
                batch.Labels[i] = _source.Read(sample, _floats);
                Write<float>(_floats, destination, sample);
            }
            else
            {
                batch.Labels[i] = _source.LabelOf(sample);
                Write(bytes, destination, sample);
            }
        }
        if (_device is not null)
            batch.Stage(_device, [_source.Channels, _source.Height, _source.Width]);
        return batch;
    }

    private void Write<TPixel>(ReadOnlySpan<TPixel> pixels, Span<float> destination, int sample)
        where TPixel : unmanaged
    {
        if (_order is null)
            _augmenter.Convert(pixels, destination);
        else
            _augmenter.Augment(pixels, destination, new RandomStream(_seed, RandomStream.Purpose.Augment, (ulong)_epoch, (ulong)sample));
    }
}
