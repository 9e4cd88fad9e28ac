using RepVgg.Threading;

namespace RepVgg.Inference.Execution;

/// <summary>
/// Runs passes, each of them a step over a window of images: the caller and its helpers take items from one counter;
/// whoever finishes a pass's last item opens the next pass.
/// </summary>
internal sealed class StepRunner : SharedWork
{
    private readonly (Step Step, Window Window, int Items)[] _passes;
    private int _passCount;

    // High half: the open pass. Low half: the next item. One counter, so that an item can't be taken for the wrong pass.
    private long _cursor;
    private int _completed;

    /// <param name="capacity">Most passes of a run.</param>
    /// <param name="threads">Most threads on one run, the caller included.</param>
    public StepRunner(int capacity, int threads)
        : base(threads) => _passes = new (Step, Window, int)[capacity];

    /// <summary>Forgets the passes of the last run.</summary>
    public void Clear() => _passCount = 0;

    /// <summary>Adds steps on a window that was opened.</summary>
    public void Add(ReadOnlySpan<Step> steps, Window window)
    {
        foreach (var step in steps)
            Add(step, window);
    }

    /// <summary>Adds a step on a window that was opened.</summary>
    public void Add(Step step, Window window)
    {
        int items = step.CountItems(window);
        if (items > 0)
            _passes[_passCount++] = (step, window, items);
    }

    /// <summary>Runs all passes.</summary>
    public void Run()
    {
        _completed = 0;
        Volatile.Write(ref _cursor, 0);
        Run(Threads);
    }

    /// <inheritdoc/>
    protected override void Work(int worker)
    {
        int idle = 0;
        while (true)
        {
            long cursor = Volatile.Read(ref _cursor);
            int pass = (int)(cursor >> 32);
            if (pass == _passCount)
                return;
            if ((int)cursor >= _passes[pass].Items)
            {
                // Others still run the pass's last items. On a crowded machine they may need this core for it.
                if (++idle < 2000)
                    Thread.SpinWait(4);
                else
                    Thread.Yield();
                continue;
            }
            idle = 0;
            cursor = Interlocked.Increment(ref _cursor) - 1;
            pass = (int)(cursor >> 32);
            int item = (int)cursor;
            if (pass == _passCount || item >= _passes[pass].Items)
                continue;
            _passes[pass].Step.RunItem(_passes[pass].Window, item, worker);
            if (Interlocked.Increment(ref _completed) == _passes[pass].Items)
            {
                _completed = 0;
                // What nobody can share is done here and now: its input is near.
                for (pass++; pass < _passCount && _passes[pass].Items == 1; pass++)
                    _passes[pass].Step.RunItem(_passes[pass].Window, 0, worker);
                Volatile.Write(ref _cursor, (long)pass << 32);
            }
        }
    }

    /// <inheritdoc/>
    protected override void WorkAlone()
    {
        for (int pass = 0; pass < _passCount; pass++)
        {
            for (int item = 0; item < _passes[pass].Items; item++)
                _passes[pass].Step.RunItem(_passes[pass].Window, item, 0);
        }
    }

    /// <inheritdoc/>
    protected override void Abandon() => Volatile.Write(ref _cursor, (long)_passCount << 32);
}
