using System.Runtime.ExceptionServices;

namespace RepVgg.Threading;

/// <summary>Work that a caller does with the help of other threads, one run at a time.</summary>
/// <remarks>
/// The caller always takes part; helpers come and go as <see cref="HelperPool"/> has them, and one that comes late, or
/// never, only means fewer hands. So results must not depend on who does which part of the work, or when.
/// </remarks>
/// <param name="threads">Most threads on one run, the caller included.</param>
internal abstract class SharedWork(int threads)
{
    private readonly HelperThread[] _helpers = new HelperThread[threads - 1];
    private Exception? _failure;
    private int _left;

    /// <summary>Most threads on one run, the caller included.</summary>
    public int Threads => _helpers.Length + 1;

    /// <summary>Threads that were asked to take part in the current run.</summary>
    public int Workers { get; private set; } = 1;

    /// <summary>Helps until nothing is left to do; a failure is kept for the caller.</summary>
    /// <param name="worker">The helper's number, from 1.</param>
    public void Help(int worker)
    {
        try
        {
            Work(worker);
        }
        catch (Exception exception)
        {
            Interlocked.CompareExchange(ref _failure, exception, null);
            Abandon();
        }
    }

    /// <summary>A helper's last word on this run.</summary>
    public void Leave()
    {
        HelperPool.Exit();
        Interlocked.Increment(ref _left);
    }

    /// <summary>Does all of the work and returns when nobody is at it any more.</summary>
    /// <param name="most">Most threads that can be of use, at least 1.</param>
    protected void Run(int most)
    {
        _left = 0;
        int invited = HelperPool.Enter(this, _helpers, Math.Min(most, Threads) - 1);
        Workers = 1 + invited;
        try
        {
            if (invited == 0)
                WorkAlone();
            else
                WorkTogether(invited);
        }
        finally
        {
            HelperPool.Exit();
        }
    }

    /// <summary>Takes parts of the work until none is left.</summary>
    /// <param name="worker">0 for the caller, 1, 2, ... for helpers: no two threads of a run have the same.</param>
    protected abstract void Work(int worker);

    /// <summary>Does all of the work where no helper can come, as worker 0.</summary>
    protected abstract void WorkAlone();

    /// <summary>Lets everybody come to an end early, because a part has failed.</summary>
    protected abstract void Abandon();

    private void WorkTogether(int invited)
    {
        Help(0);
        int joined = 0;
        for (int i = 0; i < invited; i++)
        {
            if (_helpers[i].TryRetract(this))
                HelperPool.Exit();
            else
                joined++;
        }
        var spinner = new SpinWait();
        while (Volatile.Read(ref _left) < joined)
            spinner.SpinOnce(sleep1Threshold: -1);
        if (_failure is { } failure)
        {
            _failure = null;
            ExceptionDispatchInfo.Throw(failure);
        }
    }
}
