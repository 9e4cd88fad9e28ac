using System.Runtime.ExceptionServices;
using RepVgg.Backends;
using RepVgg.Runtime;
using RepVgg.Training.Data;

namespace RepVgg.Training;

/// <summary>Prepares the batches of one pass.</summary>
/// <param name="batches">Number of batches.</param>
internal abstract class BatchLoader(int batches) : IDisposable
{
    /// <summary>Number of batches of the pass. Their sizes differ by at most one image.</summary>
    public int Batches => batches;

    /// <summary>Creates a loader for a training pass on labelled images: shuffled and augmented.</summary>
    /// <param name="source">The training set.</param>
    /// <param name="augmenter">Augments and normalises the images. Its size is that of the batches.</param>
    /// <param name="batchSize">Images of a batch.</param>
    /// <param name="seed">Seed of the order and of the augmentation.</param>
    /// <param name="epoch">The epoch, from 1.</param>
    /// <param name="device">The backend on which batches are staged; null for none.</param>
    /// <param name="targets">Computes the targets; null if the labels are the targets.</param>
    /// <param name="balanced">Whether the pass has about the same number of images of every class, instead of every image once.</param>
    /// <param name="threads">Number of threads; null for that of the device, or 1.</param>
    /// <param name="teacher">Computes the class probabilities of the teacher; null without one.</param>
    public static BatchLoader<LabeledBatch> Training(ISampleSource source, ImageAugmenter augmenter, int batchSize, ulong seed, int epoch, Backend? device = null, TrainingTargets? targets = null, bool balanced = false, int? threads = null, TeacherTargets? teacher = null)
    {
        var random = new RandomStream(seed, RandomStream.Purpose.Shuffle, (ulong)epoch);
        int[] order = balanced ? BalancedSample(source, ref random) : [.. Enumerable.Range(0, source.Count)];
        random.Shuffle(order);
        return new BatchLoader<LabeledBatch>(new LabeledSource(source, augmenter, targets, teacher), order, TrainingBatches(source.Count, batchSize), seed, epoch, device, threads);
    }

    /// <summary>Creates a loader for a validation pass on labelled images: in the order of the source, without augmentation. Batches are staged on the device, if one is given.</summary>
    public static BatchLoader<LabeledBatch> Evaluation(ISampleSource source, ImageAugmenter augmenter, int batchSize, Backend? device = null) =>
        new(new LabeledSource(source, augmenter, targets: null, teacher: null), null, (source.Count + batchSize - 1) / batchSize, 0, 0, device);

    /// <summary>
    /// Number of training batches: count / batchSize rounded up, reduced if necessary so that every batch has at least two
    /// images if <paramref name="count"/> is at least 2.
    /// </summary>
    public static int TrainingBatches(int count, int batchSize) =>
        Math.Max(1, Math.Min((count + batchSize - 1) / batchSize, count / 2));

    /// <summary>Sum of the weights of the images of a batch in the training loss: their number, if all weights are 1. The batch need not have been prepared.</summary>
    /// <param name="batch">Index of the batch, 0 .. <see cref="Batches"/> - 1.</param>
    public abstract double WeightOf(int batch);

    /// <summary>Returns the next batch.</summary>
    /// <param name="cancellation">Ends the wait for a batch that is being prepared.</param>
    /// <returns>The batch; null after the last one, and if the call was cancelled.</returns>
    public Batch? Next(CancellationToken cancellation = default) => NextBatch(cancellation);

    /// <inheritdoc/>
    public abstract void Dispose();

    private protected abstract Batch? NextBatch(CancellationToken cancellation);

    /// <summary>Draws as many images as the source has, of each class the same number or one more, in as even a number of repetitions of its images as possible.</summary>
    private static int[] BalancedSample(ISampleSource source, ref RandomStream random)
    {
        int[][] members = [.. Enumerable.Range(0, source.Count).GroupBy(source.LabelOf).OrderBy(group => group.Key).Select(group => group.ToArray())];
        // The classes that get one image more differ between the epochs.
        int[] turn = [.. Enumerable.Range(0, members.Length)];
        random.Shuffle(turn);
        foreach (int[] ofClass in members)
            random.Shuffle(ofClass);
        return [.. Enumerable.Range(0, source.Count).Select(i => members[turn[i % turn.Length]]).Select((ofClass, i) => ofClass[i / turn.Length % ofClass.Length])];
    }
}

/// <summary>Prepares the batches of one pass, on threads of the loader, while the caller processes earlier batches.</summary>
/// <remarks>
/// The content of a batch depends on the seed, the epoch and the samples, and not on timing or on the number of threads. The thread pool is not used:
/// training goes on and can be cancelled in a process whose thread pool has no free thread.
/// </remarks>
/// <typeparam name="TBatch">Type of the batches.</typeparam>
internal sealed class BatchLoader<TBatch> : BatchLoader
    where TBatch : Batch
{
    /// <summary>Maximum time that <see cref="Dispose"/> waits for a read of the source that does not return, as on a network drive that does not respond.</summary>
    private static readonly TimeSpan _longestRead = TimeSpan.FromSeconds(5);

    private readonly BatchSource<TBatch> _source;
    private readonly int[]? _order;
    private readonly ulong _seed;
    private readonly int _epoch;
    private readonly Slot[] _slots;
    private readonly Backend? _device;
    private readonly Thread[] _threads;
    private readonly object _access = new();
    private volatile bool _stopped;
    private int _claimed = -1;
    private int _ended;
    private int _next;

    /// <summary>Creates a loader.</summary>
    /// <param name="source">The samples.</param>
    /// <param name="order">The samples of the pass in their order, whose images are augmented; null for all samples in the order of the source, without augmentation.</param>
    /// <param name="batches">Number of batches.</param>
    /// <param name="seed">Seed of the augmentation.</param>
    /// <param name="epoch">The epoch, from 1; 0 for an evaluation.</param>
    /// <param name="device">The backend on which batches are staged; null for none.</param>
    /// <param name="threads">Number of threads; null for that of the device, or 1.</param>
    public BatchLoader(BatchSource<TBatch> source, int[]? order, int batches, ulong seed, int epoch, Backend? device, int? threads = null)
        : base(batches)
    {
        (_source, _order, _seed, _epoch, _device) = (source, order, seed, epoch, device);
        int capacity = (source.Count + batches - 1) / batches;
        _threads = new Thread[Math.Min(threads ?? device?.LoaderThreads ?? 1, batches)];
        // The caller processes one batch while the threads prepare one each.
        _slots = [.. Enumerable.Range(0, _threads.Length + 1).Select(_ => new Slot(source.CreateBatch(capacity)))];
    }

    /// <inheritdoc/>
    public override double WeightOf(int batch)
    {
        var (start, end) = RangeOf(batch);
        return Enumerable.Range(start, end - start).Sum(place => _source.WeightOf(SampleAt(place)));
    }

    /// <summary>Returns the next batch.</summary>
    /// <param name="cancellation">Ends the wait for a batch that is being prepared.</param>
    /// <returns>The batch; null after the last one, and if the call was cancelled.</returns>
    public new TBatch? Next(CancellationToken cancellation = default)
    {
        if (_next == Batches || cancellation.IsCancellationRequested)
            return null;
        if (_threads[0] is null)
            Start();
        var slot = _slots[_next % _slots.Length];
        try
        {
            slot.Prepared.Wait(cancellation);
        }
        catch (OperationCanceledException)
        {
            return null;
        }
        if (slot.Failure is { } failure)
        {
            // Further calls throw the exception, too.
            slot.Prepared.Release();
            failure.Throw();
        }
        lock (_access)
        {
            _next++;
            Monitor.PulseAll(_access);
        }
        return slot.Batch;
    }

    /// <summary>Prepares one batch on the calling thread, for a caller that needs no other one.</summary>
    /// <param name="index">Index of the batch, 0 .. <see cref="BatchLoader.Batches"/> - 1.</param>
    public TBatch Prepare(int index)
    {
        if (_threads[0] is not null)
            throw new InvalidOperationException("The batches are already being prepared in order.");
        var batch = _slots[0].Batch;
        Fill(index, batch, _source.CreateWriter());
        return batch;
    }

    /// <summary>
    /// Ends the threads and releases the staged images. The source is no longer read afterwards, unless a read does not return
    /// within 5 seconds; its thread then ends, and releases them, when it does.
    /// </summary>
    public override void Dispose()
    {
        if (_stopped)
            return;
        lock (_access)
        {
            _stopped = true;
            Monitor.PulseAll(_access);
        }
        if (_threads[0] is null)
            _ended = _threads.Length;
        long start = System.Diagnostics.Stopwatch.GetTimestamp();
        foreach (var thread in _threads)
        {
            var left = _longestRead - System.Diagnostics.Stopwatch.GetElapsedTime(start);
            thread?.Join(left > TimeSpan.Zero ? left : TimeSpan.Zero);
        }
        End();
    }

    private void Start()
    {
        for (int i = 0; i < _threads.Length; i++)
        {
            var writer = _source.CreateWriter();
            _threads[i] = new Thread(() => PrepareBatches(writer)) { IsBackground = true, Name = "RepVgg batch loader" };
        }
        foreach (var thread in _threads)
            thread.Start();
    }

    /// <summary>Releases the staged images when all threads and the owner of the loader have ended.</summary>
    private void End()
    {
        if (Interlocked.Increment(ref _ended) <= _threads.Length)
            return;
        foreach (var slot in _slots)
            slot.Batch.Staged?.Dispose();
    }

    private void PrepareBatches(BatchWriter<TBatch> writer)
    {
        try
        {
            while (Interlocked.Increment(ref _claimed) is int index && index < Batches)
            {
                WaitUntilFree(index);
                if (_stopped)
                    break;
                var slot = _slots[index % _slots.Length];
                try
                {
                    Fill(index, slot.Batch, writer);
                }
                catch (Exception exception)
                {
                    slot.Failure = ExceptionDispatchInfo.Capture(exception);
                    break;
                }
                finally
                {
                    slot.Prepared.Release();
                }
            }
        }
        finally
        {
            EndThread();
        }
    }

    /// <summary>Waits until the caller no longer uses the earlier batch whose memory a batch has, or the loader is disposed.</summary>
    private void WaitUntilFree(int index)
    {
        lock (_access)
        {
            // The caller uses the batch _next - 1, at most.
            while (!_stopped && index >= Math.Max(_next - 1, 0) + _slots.Length)
                Monitor.Wait(_access);
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

    private void Fill(int index, TBatch batch, BatchWriter<TBatch> writer)
    {
        var (start, end) = RangeOf(index);
        batch.Count = end - start;
        for (int i = 0; i < batch.Count; i++)
        {
            if (_stopped)
                return;
            int sample = SampleAt(start + i);
            writer.Write(batch, i, sample, _order is null ? null : Random(RandomStream.Purpose.Augment, sample));
        }
        _source.Complete(batch, Random(RandomStream.Purpose.Mix, index));
        // After a read that did not return until the loader was disposed, the device can be disposed, too.
        if (_stopped)
            return;
        if (_device is not null)
        {
            var (channels, height, width) = _source.ImageShape;
            batch.Stage(_device, [channels, height, width]);
        }
    }

    /// <summary>The places in the order of the pass, from the first to before the last, of the images of a batch.</summary>
    private (int Start, int End) RangeOf(int batch) => ((int)((long)batch * _source.Count / Batches), (int)((batch + 1L) * _source.Count / Batches));

    private int SampleAt(int place) => _order is null ? place : _order[place];

    private RandomStream Random(RandomStream.Purpose purpose, int index) => new(_seed, purpose, (ulong)_epoch, (ulong)index);

    /// <summary>A batch and the state of its preparation.</summary>
    private sealed class Slot(TBatch batch)
    {
        public TBatch Batch => batch;

        /// <summary>Is released when the batch is prepared, or has failed.</summary>
        public SemaphoreSlim Prepared { get; } = new(0);

        public ExceptionDispatchInfo? Failure { get; set; }
    }

    private protected override Batch? NextBatch(CancellationToken cancellation) => Next(cancellation);
}
