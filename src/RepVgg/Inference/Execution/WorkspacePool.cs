using System.Numerics;

namespace RepVgg.Inference.Execution;

/// <summary>A pool of idle workspaces, which are reused. A workspace is created when no idle one has the required capacity.</summary>
/// <remarks>
/// After a period of 128 returns or 10 to 20 seconds, the pool frees the workspaces that the period did not need: it keeps as many
/// as were in use at once, and none that is larger than the largest one that was requested.
/// </remarks>
internal sealed class WorkspacePool : IDisposable
{
    /// <summary>Number of returns after which a period ends.</summary>
    public const int PeriodReturns = 128;

    private const long MaximumBytes = 48L << 20;
    private const int MaximumCapacity = 32;

    private static readonly TimeSpan _periodTime = TimeSpan.FromSeconds(10);

    private readonly Plan _plan;
    private readonly int _threads;
    private readonly int _maximumCapacity;
    private readonly Lock _access = new();

    // Ends the periods of an engine that is used rarely or no longer. It runs while there are workspaces, and does not keep the
    // pool alive.
    private readonly Timer _timer;
    private bool _isTimerRunning;
    private bool _isDisposed;

    // The idle workspaces in the order in which they were returned.
    private Workspace[] _idle = new Workspace[4];
    private int _idleCount;
    private int _inUse;

    // Of the current period: maximum number in use at once, largest requested capacity, and number of returns.
    private int _peak;
    private int _largest;
    private int _returns;

    // Whether a period has ended since the last tick of the timer, so that the current one is shorter than the interval of the timer.
    private bool _isPeriodNew;

    /// <param name="plan">The plan to allocate memory for.</param>
    /// <param name="threads">Maximum number of threads for one run.</param>
    public WorkspacePool(Plan plan, int threads)
    {
        _plan = plan;
        _threads = threads;
        _maximumCapacity = LargestCapacity(plan);
        _timer = CreateTimer(new WeakReference<WorkspacePool>(this));
    }

    /// <summary>
    /// Rents a workspace for up to <paramref name="images"/> images. Its capacity can be smaller: it is limited to 32 images
    /// and to the largest power of two whose trailing-stage buffers fit in 48 MiB, but at least 1.
    /// </summary>
    public Workspace Rent(int images)
    {
        int capacity = Math.Min((int)BitOperations.RoundUpToPowerOf2((uint)Math.Min(images, MaximumCapacity)), _maximumCapacity);
        lock (_access)
        {
            _largest = Math.Max(_largest, capacity);
            _peak = Math.Max(_peak, ++_inUse);
            if (Take(capacity) is { } idle)
                return idle;
            StartTimer();
        }
        try
        {
            return new Workspace(_plan, capacity, _threads);
        }
        catch
        {
            lock (_access)
                _inUse--;
            throw;
        }
    }

    /// <summary>Returns a rented workspace to the pool.</summary>
    public void Return(Workspace workspace)
    {
        lock (_access)
        {
            if (_idleCount == _idle.Length)
                Array.Resize(ref _idle, 2 * _idleCount);
            _idle[_idleCount++] = workspace;
            _inUse--;
            if (++_returns == PeriodReturns)
                EndPeriod();
        }
    }

    /// <summary>Frees the workspaces that the current period did not need, and begins the next period.</summary>
    public void EndPeriod()
    {
        lock (_access)
        {
            int keep = _peak - _inUse;
            for (int i = _idleCount - 1; i >= 0; i--)
            {
                if (keep > 0 && _idle[i].Capacity <= _largest)
                {
                    keep--;
                    continue;
                }
                _idle[i].Dispose();
                RemoveAt(i);
            }
            _peak = _inUse;
            _largest = 0;
            _returns = 0;
            _isPeriodNew = true;
        }
    }

    /// <summary>Ends the period if it has lasted for the interval of the timer, which calls this method.</summary>
    public void Tick()
    {
        lock (_access)
        {
            if (_isDisposed)
                return;
            if (!_isPeriodNew)
                EndPeriod();
            _isPeriodNew = false;
            if (_inUse + _idleCount > 0)
                return;
            _isTimerRunning = false;
            _timer.Change(Timeout.Infinite, Timeout.Infinite);
        }
    }

    public void Dispose()
    {
        lock (_access)
        {
            _isDisposed = true;
            _timer.Dispose();
            while (_idleCount > 0)
            {
                _idle[_idleCount - 1].Dispose();
                RemoveAt(_idleCount - 1);
            }
        }
    }

    private static Timer CreateTimer(WeakReference<WorkspacePool> pool)
    {
        // A timer would keep the execution context of the thread that creates it, and with it the objects of the caller.
        bool restoresFlow = !ExecutionContext.IsFlowSuppressed();
        if (restoresFlow)
            ExecutionContext.SuppressFlow();
        try
        {
            return new Timer(
                static state =>
                {
                    if (((WeakReference<WorkspacePool>)state!).TryGetTarget(out var target))
                        target.Tick();
                },
                pool, Timeout.Infinite, Timeout.Infinite);
        }
        finally
        {
            if (restoresFlow)
                ExecutionContext.RestoreFlow();
        }
    }

    private static int LargestCapacity(Plan plan)
    {
        long total = 0;
        foreach (long floats in plan.Trailing.BufferFloats)
            total += floats;
        long fit = Math.Clamp(MaximumBytes / sizeof(float) / Math.Max(total, 1), 1, MaximumCapacity);
        return 1 << BitOperations.Log2((uint)fit);
    }

    /// <summary>Removes the smallest idle workspace that is large enough, and of several the one that was used last; null if there is none.</summary>
    private Workspace? Take(int capacity)
    {
        int best = -1;
        for (int i = _idleCount - 1; i >= 0; i--)
        {
            if (_idle[i].Capacity >= capacity && (best < 0 || _idle[i].Capacity < _idle[best].Capacity))
                best = i;
        }
        if (best < 0)
            return null;
        var workspace = _idle[best];
        RemoveAt(best);
        return workspace;
    }

    private void RemoveAt(int index)
    {
        _idleCount--;
        Array.Copy(_idle, index + 1, _idle, index, _idleCount - index);
        _idle[_idleCount] = null!;
    }

    private void StartTimer()
    {
        if (_isTimerRunning)
            return;
        _isTimerRunning = true;
        _timer.Change(_periodTime, _periodTime);
    }
}
