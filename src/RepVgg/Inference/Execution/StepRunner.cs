using RepVgg.Runtime.Threading;

namespace RepVgg.Inference.Execution;

/// <summary>
/// Runs a sequence of passes; a pass is a step applied to a context of images. The items of a pass are divided among the threads in contiguous ranges, the same
/// way in every pass, so that a thread finds in its own cache the rows that it has written. A thread that has no items left waits a moment for the others, and then takes
/// items from the ends of their ranges. The thread that completes the last item of a pass starts the next pass.
/// </summary>
internal sealed class StepRunner : ParallelWork
{
    // Items of one pass: they are counted in 24 bits.
    private const int MaximumItems = (1 << 24) - 1;

    // Number of times that a thread looks for the next pass before it looks for items of other threads.
    private const int LooksBeforeTaking = 8;

    private readonly (Step Step, StepContext Context, int Items)[] _passes;
    private int _passCount;

    // For each worker, the items of its range that are not taken yet: the pass counted from 1 in the high 16 bits, then the first item and the item after the
    // last in 24 bits each. A range is set up by the first thread that takes an item from it. After the ranges: the current pass, and the number of its
    // items that are completed.
    private readonly CacheLinePair[] _shared;

    /// <param name="capacity">Maximum number of passes of a run.</param>
    /// <param name="threads">Maximum number of threads for one run, including the calling thread.</param>
    public StepRunner(int capacity, int threads)
        : base(threads)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(capacity, ushort.MaxValue);
        _passes = new (Step, StepContext, int)[capacity];
        _shared = new CacheLinePair[threads + 2];
    }

    private ref long CurrentPass => ref _shared[Threads].Value;

    private ref long CompletedItems => ref _shared[Threads + 1].Value;

    /// <summary>Removes all passes.</summary>
    public void Clear() => _passCount = 0;

    /// <summary>Adds one pass for each step.</summary>
    /// <param name="steps">Steps in order of execution.</param>
    /// <param name="context">The images; <see cref="StepContext.SetImages"/> must have been called.</param>
    public void Add(ReadOnlySpan<Step> steps, StepContext context)
    {
        foreach (var step in steps)
            Add(step, context);
    }

    /// <summary>Adds a pass, unless the step has no items.</summary>
    /// <param name="step">The step.</param>
    /// <param name="context">The images; <see cref="StepContext.SetImages"/> must have been called.</param>
    public void Add(Step step, StepContext context)
    {
        int items = step.CountItems(context);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(items, MaximumItems);
        if (items > 0)
            _passes[_passCount++] = (step, context, items);
    }

    /// <summary>Runs all passes.</summary>
    public void Run()
    {
        Array.Clear(_shared);
        Thread.MemoryBarrier();
        Run(Threads);
    }

    /// <inheritdoc/>
    protected override void Execute(int worker)
    {
        int executed = -1, looks = 0;
        while (true)
        {
            int pass = (int)Volatile.Read(ref CurrentPass), done = 0;
            if (pass == _passCount)
                return;
            if (pass != executed)
            {
                executed = pass;
                looks = 0;
                for (; TryTake(worker, pass, fromEnd: false, out int item); done++)
                    _passes[pass].Step.RunItem(_passes[pass].Context, item, worker);
            }
            else if (++looks % LooksBeforeTaking == 0 && TryTakeFromOthers(worker, pass, out int item))
            {
                _passes[pass].Step.RunItem(_passes[pass].Context, item, worker);
                done = 1;
            }
            if (done > 0)
            {
                if (Interlocked.Add(ref CompletedItems, done) == _passes[pass].Items)
                    StartPassAfter(pass, worker);
            }
            else if (looks < 2000)
            {
                Thread.SpinWait(4);
            }
            else
            {
                // Other threads still run the last items of the pass. If there are more runnable threads than cores, they may need this core to make progress.
                Thread.Yield();
            }
        }
    }

    /// <inheritdoc/>
    protected override void ExecuteAlone()
    {
        for (int pass = 0; pass < _passCount; pass++)
        {
            for (int item = 0; item < _passes[pass].Items; item++)
                _passes[pass].Step.RunItem(_passes[pass].Context, item, 0);
        }
    }

    /// <inheritdoc/>
    protected override void Cancel() => Volatile.Write(ref CurrentPass, _passCount);

    private void StartPassAfter(int pass, int worker)
    {
        CompletedItems = 0;
        // A pass with a single item cannot be shared. It runs on this thread, whose cache is likely to hold its input.
        for (pass++; pass < _passCount && _passes[pass].Items == 1; pass++)
            _passes[pass].Step.RunItem(_passes[pass].Context, 0, worker);
        Volatile.Write(ref CurrentPass, pass);
    }

    private bool TryTakeFromOthers(int worker, int pass, out int item)
    {
        for (int i = 1; i < Workers; i++)
        {
            if (TryTake((worker + i) % Workers, pass, fromEnd: true, out item))
                return true;
        }
        item = -1;
        return false;
    }

    /// <summary>Takes an item of a pass from the range of a worker.</summary>
    /// <param name="owner">The worker whose range it is.</param>
    /// <param name="pass">The pass; if it is complete, there are no items.</param>
    /// <param name="fromEnd">Whether to take the last item rather than the first.</param>
    /// <param name="item">Receives the item.</param>
    /// <returns>False if the range has no items left.</returns>
    private bool TryTake(int owner, int pass, bool fromEnd, out int item)
    {
        ref long range = ref _shared[owner].Value;
        while (true)
        {
            long seen = Volatile.Read(ref range);
            int passOfRange = (int)(seen >>> 48) - 1;
            var (first, end) = passOfRange == pass
                ? ((int)(seen >> 24) & MaximumItems, (int)seen & MaximumItems)
                : ((int)((long)_passes[pass].Items * owner / Workers), (int)((long)_passes[pass].Items * (owner + 1) / Workers));
            item = fromEnd ? end - 1 : first;
            if (passOfRange > pass || first == end)
                return false;
            long rest = ((pass + 1L) << 48) | ((fromEnd ? first : first + 1L) << 24) | (fromEnd ? end - 1L : end);
            if (Interlocked.CompareExchange(ref range, rest, seen) == seen)
                return true;
        }
    }
}
