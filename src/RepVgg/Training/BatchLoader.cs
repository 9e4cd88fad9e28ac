using System.Runtime.ExceptionServices;
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

/// <summary>Prepares the batches of one pass. Each batch is prepared on a thread of the loader while the caller processes the previous batch.</summary>
/// <remarks>
/// The content of a batch depends on the seed, the epoch and the samples, and not on timing. The thread pool is not used:
/// training goes on and can be cancelled in a process whose thread pool has no free thread.
/// </remarks>
internal sealed class BatchLoader : IDisposable
{
    /// <summary>Maximum time that <see cref="Dispose"/> waits for a read of the source that does not return, as on a network drive that does not respond.</summary>
    private static readonly TimeSpan _longestRead = TimeSpan.FromSeconds(5);

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
    private readonly SemaphoreSlim _requested = new(0), _prepared = new(0);
    private Thread? _thread;
    private ExceptionDispatchInfo? _failure;
    private volatile bool _stopped;
    private int _ended;
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

    /// <summary>Returns the next batch.</summary>
    /// <param name="cancellation">Ends the wait for a batch that is being prepared.</param>
    /// <returns>The batch; null after the last one, and if the call was cancelled.</returns>
    public Batch? Next(CancellationToken cancellation = default)
    {
        if (_next == Batches || cancellation.IsCancellationRequested)
            return null;
        if (_thread is null)
        {
            var thread = new Thread(PrepareAll) { IsBackground = true, Name = "RepVgg batch loader" };
            thread.Start();
            _thread = thread;
            _requested.Release();
        }
        try
        {
            _prepared.Wait(cancellation);
        }
        catch (OperationCanceledException)
        {
            return null;
        }
        if (_failure is { } failure)
        {
            // Further calls throw the exception, too.
            _prepared.Release();
            failure.Throw();
        }
        var batch = _buffers[_next++ & 1];
        _requested.Release();
        return batch;
    }

    /// <summary>Prepares one batch on the calling thread, for a caller that needs no other one.</summary>
    /// <param name="index">Index of the batch, 0 .. <see cref="Batches"/> - 1.</param>
    public Batch Prepare(int index)
    {
        if (_thread is not null)
            throw new InvalidOperationException("The batches are already being prepared in order.");
        Fill(index);
        return _buffers[index & 1];
    }

    /// <summary>
    /// Ends the thread and releases the staged images. The source is no longer read afterwards, unless a read does not return
    /// within 5 seconds; the thread then ends, and releases them, when it does.
    /// </summary>
    public void Dispose()
    {
        if (_stopped)
            return;
        _stopped = true;
        _requested.Release();
        if (_thread is null)
            End();
        else
            _thread.Join(_longestRead);
        End();
    }

    /// <summary>Releases the staged images when both the thread and the owner of the loader have ended.</summary>
    private void End()
    {
        if (Interlocked.Increment(ref _ended) < 2)
            return;
        foreach (var buffer in _buffers)
            buffer.Staged?.Dispose();
    }

    private void PrepareAll()
    {
        try
        {
            for (int index = 0; index < Batches; index++)
            {
                _requested.Wait();
                if (_stopped)
                    break;
                Fill(index);
                _prepared.Release();
            }
        }
        catch (Exception exception)
        {
            _failure = ExceptionDispatchInfo.Capture(exception);
            _prepared.Release();
        }
        finally
        {
            EndThread();
        }
    }

    /// <summary>Ends the thread's part. An exception would end the process.</summary>
    private void EndThread()
    {
        try
        {
            End();
        }
        catch (Exception) when (_stopped)
        {
            // The backend was disposed, with its memory, while a read did not return.
        }
    }

    private void Fill(int index)
    {
        var batch = _buffers[index & 1];
        int start = (int)((long)index * _source.Count / Batches), end = (int)((index + 1L) * _source.Count / Batches);
        batch.Count = end - start;
        for (int i = 0; i < batch.Count; i++)
        {
            if (_stopped)
                return;
            int sample = _order is null ? start + i : _order[start + i];
            var destination = batch.Images.Slice(i * _imageLength, _imageLength);
            var bytes = _source.ReadBytes(sample, _bytes);
            if (bytes.IsEmpty)
            {
                batch.Labels[i] = _source.Read(sample, _floats);
                if (_order is null)
                    _augmenter.Convert<float>(_floats, destination);
                else
                    _augmenter.Augment(_floats, destination, Random(sample));
            }
            else
            {
                batch.Labels[i] = _source.LabelOf(sample);
                if (_order is null)
                    _augmenter.Convert(bytes, destination);
                else
                    _augmenter.Augment(bytes, _source.Height, _source.Width, destination, Random(sample));
            }
        }
        // After a read that did not return until the loader was disposed, the device can be disposed, too.
        if (_stopped)
            return;
        if (_device is not null)
            batch.Stage(_device, [_source.Channels, _source.Height, _source.Width]);
    }

    private RandomStream Random(int sample) => new(_seed, RandomStream.Purpose.Augment, (ulong)_epoch, (ulong)sample);
}
