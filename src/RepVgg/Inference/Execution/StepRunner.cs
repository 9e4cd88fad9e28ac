using RepVgg.Runtime.Threading;

namespace RepVgg.Inference.Execution;

/// <summary>
/// Runs a sequence of passes; a pass is a step applied to a context of images. The calling thread and the worker threads
/// take items from a shared counter. The thread that completes the last item of a pass starts the next pass.
/// </summary>
internal sealed class StepRunner : ParallelWork
{
    private readonly (Step Step, StepContext Context, int Items)[] _passes;
    private int _passCount;

    // High 32 bits: the current pass. Low 32 bits: the next item. Both are in one counter, so that a single atomic increment
    // takes an item together with its pass.
    private long _cursor;
    private int _completed;

    /// <param name="capacity">Maximum number of passes of a run.</param>
    /// <param name="threads">Maximum number of threads for one run, including the calling thread.</param>
    public StepRunner(int capacity, int threads)
        : base(threads) => _passes = new (Step, StepContext, int)[capacity];

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
        if (items > 0)
            _passes[_passCount++] = (step, context, items);
    }

    /// <summary>Runs all passes.</summary>
    public void Run()
    {
        _completed = 0;
        Volatile.Write(ref _cursor, 0);
        Run(Threads);
    }

    /// <inheritdoc/>
    protected override void Execute(int worker)
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
                // Other threads still run the last items of the pass. If there are more runnable threads than cores, they
                // may need this core to make progress.
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
            _passes[pass].Step.RunItem(_passes[pass].Context, item, worker);
            if (Interlocked.Increment(ref _completed) == _passes[pass].Items)
            {
                _completed = 0;
                // A pass with a single item cannot be shared. It runs on this thread, whose cache is likely to hold its input.
                for (pass++; pass < _passCount && _passes[pass].Items == 1; pass++)
                    _passes[pass].Step.RunItem(_passes[pass].Context, 0, worker);
                Volatile.Write(ref _cursor, (long)pass << 32);
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
    protected override void Cancel() => Volatile.Write(ref _cursor, (long)_passCount << 32);
}
