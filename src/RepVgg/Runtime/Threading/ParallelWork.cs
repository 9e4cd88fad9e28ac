using System.Runtime.ExceptionServices;

namespace RepVgg.Runtime.Threading;

/// <summary>Work that the calling thread shares with worker threads, one run at a time.</summary>
/// <remarks>
/// The calling thread always takes part. Worker threads come from <see cref="WorkerPool"/> and may start late or not at
/// all, in which case the other threads do their part. Results must therefore not depend on which thread does which part
/// of the work, or when.
/// </remarks>
/// <param name="threads">Maximum number of threads for one run, including the calling thread.</param>
internal abstract class ParallelWork(int threads)
{
    private readonly WorkerThread[] _workerThreads = new WorkerThread[threads - 1];
    private Exception? _failure;
    private int _finishedWorkers;

    /// <summary>Maximum number of threads for one run, including the calling thread.</summary>
    public int Threads => _workerThreads.Length + 1;

    /// <summary>Number of threads assigned to the current run, including the calling thread.</summary>
    public int Workers { get; private set; } = 1;

    /// <summary>Executes parts of the work until none is left. The first exception of a run is stored and rethrown by the calling thread.</summary>
    /// <param name="worker">Worker index: 0 for the calling thread, from 1 for worker threads.</param>
    public void RunWorker(int worker)
    {
        try
        {
            Execute(worker);
        }
        catch (Exception exception)
        {
            Interlocked.CompareExchange(ref _failure, exception, null);
            Cancel();
        }
    }

    /// <summary>Signals that a worker thread has finished its part of this run.</summary>
    public void OnWorkerFinished()
    {
        WorkerPool.Exit();
        Interlocked.Increment(ref _finishedWorkers);
    }

    /// <summary>Executes all of the work and returns when every participating thread has finished.</summary>
    /// <param name="maximumThreads">Maximum number of threads that the work can use, at least 1.</param>
    protected void Run(int maximumThreads)
    {
        _finishedWorkers = 0;
        int assigned = WorkerPool.Enter(_workerThreads, Math.Min(maximumThreads, Threads) - 1);
        // Worker threads read this, so it is set before they start.
        Workers = 1 + assigned;
        Prepare();
        for (int i = 0; i < assigned; i++)
            _workerThreads[i].Assign(this, i + 1);
        try
        {
            if (assigned == 0)
                ExecuteAlone();
            else
                ExecuteShared(assigned);
        }
        finally
        {
            WorkerPool.Exit();
        }
    }

    /// <summary>Called on the calling thread when <see cref="Workers"/> is known, before a worker thread starts.</summary>
    protected virtual void Prepare()
    {
    }

    /// <summary>Executes parts of the work until none is left.</summary>
    /// <param name="worker">Worker index: 0 for the calling thread, from 1 for worker threads; unique within a run.</param>
    protected abstract void Execute(int worker);

    /// <summary>Executes all of the work on the calling thread, as worker 0, when no worker thread is available.</summary>
    protected abstract void ExecuteAlone();

    /// <summary>Makes all threads stop early, because a part of the work has thrown an exception.</summary>
    protected abstract void Cancel();

    private void ExecuteShared(int assigned)
    {
        RunWorker(0);
        int started = 0;
        for (int i = 0; i < assigned; i++)
        {
            if (_workerThreads[i].TryUnassign(this))
                WorkerPool.Exit();
            else
                started++;
        }
        var spinner = new SpinWait();
        while (Volatile.Read(ref _finishedWorkers) < started)
            spinner.SpinOnce(sleep1Threshold: -1);
        if (_failure is { } failure)
        {
            _failure = null;
            ExceptionDispatchInfo.Throw(failure);
        }
    }
}
