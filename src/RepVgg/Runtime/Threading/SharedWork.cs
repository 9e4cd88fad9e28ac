using System.Runtime.ExceptionServices;

namespace RepVgg.Runtime.Threading;

/// <summary>Work that the calling thread shares with helper threads, one run at a time.</summary>
/// <remarks>
/// The calling thread always takes part. Helper threads come from <see cref="HelperPool"/> and may start late or not at
/// all, in which case the other threads do their part. Results must therefore not depend on which thread does which part
/// of the work, or when.
/// </remarks>
/// <param name="threads">Maximum number of threads for one run, including the calling thread.</param>
internal abstract class SharedWork(int threads)
{
    private readonly HelperThread[] _helpers = new HelperThread[threads - 1];
    private Exception? _failure;
    private int _left;

    /// <summary>Maximum number of threads for one run, including the calling thread.</summary>
    public int Threads => _helpers.Length + 1;

    /// <summary>Number of threads assigned to the current run, including the calling thread.</summary>
    public int Workers { get; private set; } = 1;

    /// <summary>Executes parts of the work until none is left. The first exception of a run is stored and rethrown by the calling thread.</summary>
    /// <param name="worker">Worker index: 0 for the calling thread, from 1 for helper threads.</param>
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

    /// <summary>Signals that a helper thread has finished its part of this run.</summary>
    public void Leave()
    {
        HelperPool.Exit();
        Interlocked.Increment(ref _left);
    }

    /// <summary>Executes all of the work and returns when every participating thread has finished.</summary>
    /// <param name="most">Maximum number of threads that the work can use, at least 1.</param>
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

    /// <summary>Executes parts of the work until none is left.</summary>
    /// <param name="worker">Worker index: 0 for the calling thread, from 1 for helper threads; unique within a run.</param>
    protected abstract void Work(int worker);

    /// <summary>Executes all of the work on the calling thread, as worker 0, when no helper thread is available.</summary>
    protected abstract void WorkAlone();

    /// <summary>Makes all threads stop early, because a part of the work has thrown an exception.</summary>
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
