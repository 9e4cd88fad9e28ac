using RepVgg.Threading;

namespace RepVgg.Inference.Execution;

/// <summary>
/// Runs a plan's steps over one workspace: the caller and its helpers take items from one counter; whoever finishes
/// a step's last item opens the next step.
/// </summary>
internal sealed class StepRunner : SharedWork
{
    private readonly Step[] _plan;
    private readonly Step[] _steps;
    private readonly int[] _counts;
    private int _stepCount;
    private readonly Workspace _workspace;

    // High half: the open step. Low half: the next item. One counter, so that an item can't be taken for the wrong step.
    private long _cursor;
    private int _completed;

    /// <param name="steps">In order of execution.</param>
    /// <param name="workspace">What they run on.</param>
    /// <param name="threads">Most threads on one run, the caller included.</param>
    public StepRunner(Step[] steps, Workspace workspace, int threads)
        : base(threads)
    {
        _plan = steps;
        _steps = new Step[steps.Length];
        _counts = new int[steps.Length];
        _workspace = workspace;
    }

    /// <summary>Runs all steps on the workspace's current images.</summary>
    public void Run()
    {
        _stepCount = 0;
        foreach (var step in _plan)
        {
            int count = step.CountItems(_workspace.Images);
            if (count == 0)
                continue;
            _steps[_stepCount] = step;
            _counts[_stepCount++] = count;
        }
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
            int step = (int)(cursor >> 32);
            if (step == _stepCount)
                return;
            if ((int)cursor >= _counts[step])
            {
                // Others still run the step's last items. On a crowded machine they may need this core for it.
                if (++idle < 2000)
                    Thread.SpinWait(4);
                else
                    Thread.Yield();
                continue;
            }
            idle = 0;
            cursor = Interlocked.Increment(ref _cursor) - 1;
            step = (int)(cursor >> 32);
            int item = (int)cursor;
            if (step == _stepCount || item >= _counts[step])
                continue;
            _steps[step].RunItem(_workspace, item, worker);
            if (Interlocked.Increment(ref _completed) == _counts[step])
            {
                _completed = 0;
                Volatile.Write(ref _cursor, (long)(step + 1) << 32);
            }
        }
    }

    /// <inheritdoc/>
    protected override void WorkAlone()
    {
        for (int step = 0; step < _stepCount; step++)
        {
            for (int item = 0; item < _counts[step]; item++)
                _steps[step].RunItem(_workspace, item, 0);
        }
    }

    /// <inheritdoc/>
    protected override void Abandon() => Volatile.Write(ref _cursor, (long)_stepCount << 32);
}
