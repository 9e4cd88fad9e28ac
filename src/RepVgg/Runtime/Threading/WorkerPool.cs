using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace RepVgg.Runtime.Threading;

/// <summary>
/// The worker threads of the process, shared by all engines and backends. Concurrent callers get fewer worker threads
/// each, so that the number of running threads does not exceed the number of cores.
/// </summary>
internal static class WorkerPool
{
    private static readonly Lock _growLock = new();
    private static WorkerThread[] _threads = [];
    private static int _running;

    /// <summary>Registers the calling thread as running and reserves up to <paramref name="maximum"/> worker threads, which are registered as running, too.</summary>
    /// <param name="reserved">Receives the reserved worker threads in its first elements.</param>
    /// <param name="maximum">Maximum number of worker threads.</param>
    /// <returns>Number of worker threads that were reserved.</returns>
    public static int Enter(WorkerThread[] reserved, int maximum)
    {
        int running = Interlocked.Increment(ref _running);
        maximum = Math.Min(maximum, Math.Max(Environment.ProcessorCount, maximum + 1) - running);
        if (maximum <= 0)
            return 0;
        int count = 0;
        foreach (var thread in EnsureThreads(maximum))
        {
            if (!thread.TryReserve())
                continue;
            Interlocked.Increment(ref _running);
            reserved[count++] = thread;
            if (count == maximum)
                break;
        }
        return count;
    }

    /// <summary>Unregisters one running thread.</summary>
    public static void Exit() => Interlocked.Decrement(ref _running);

    private static WorkerThread[] EnsureThreads(int count)
    {
        var threads = Volatile.Read(ref _threads);
        if (threads.Length >= count)
            return threads;
        lock (_growLock)
        {
            threads = _threads;
            if (threads.Length >= count)
                return threads;
            int old = threads.Length;
            Array.Resize(ref threads, count);
            for (int i = old; i < count; i++)
                threads[i] = new WorkerThread(i);
            Volatile.Write(ref _threads, threads);
            return threads;
        }
    }
}

/// <summary>
/// A background thread that executes the work of one caller at a time. After each run it spins for 200 microseconds to
/// start the next run with low latency, then blocks.
/// </summary>
internal sealed class WorkerThread
{
    private static readonly long _spinTicks = Stopwatch.Frequency / 5000;

    private readonly SemaphoreSlim _wakeUp = new(0);
    private ParallelWork? _assignedWork;
    private int _workerIndex;
    private int _reserved;
    private int _blocked;

    public WorkerThread(int index)
    {
        var thread = new Thread(Loop) { IsBackground = true, Name = $"RepVgg worker {index + 1}" };
        thread.Start();
    }

    /// <summary>Reserves the thread for one run.</summary>
    /// <returns>False if it is reserved by another caller.</returns>
    public bool TryReserve() => Volatile.Read(ref _reserved) == 0 && Interlocked.CompareExchange(ref _reserved, 1, 0) == 0;

    /// <summary>Assigns work to the reserved thread, which executes it as worker <paramref name="workerIndex"/>.</summary>
    public void Assign(ParallelWork work, int workerIndex)
    {
        _workerIndex = workerIndex;
        Interlocked.Exchange(ref _assignedWork, work);
        if (Volatile.Read(ref _blocked) == 1 && Interlocked.Exchange(ref _blocked, 0) == 1)
            _wakeUp.Release();
    }

    /// <summary>Withdraws the work if the thread has not started it, and ends the reservation.</summary>
    /// <returns>False if the thread has started the work; it then calls <see cref="ParallelWork.OnWorkerFinished"/> when it is done.</returns>
    public bool TryUnassign(ParallelWork work)
    {
        if (Interlocked.CompareExchange(ref _assignedWork, null, work) != work)
            return false;
        Volatile.Write(ref _reserved, 0);
        return true;
    }

    private void Loop()
    {
        while (true)
        {
            WaitForWork();
            RunAssignedWork();
        }
    }

    // A method of its own, so that the waiting thread's stack has no reference to the work, which refers to the memory of an engine.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void RunAssignedWork()
    {
        var work = Interlocked.Exchange(ref _assignedWork, null);
        if (work is null)
            return;
        work.RunWorker(_workerIndex);
        // The reservation ends before the caller is notified, so that the caller's next run can reserve this thread again.
        Volatile.Write(ref _reserved, 0);
        work.OnWorkerFinished();
    }

    private void WaitForWork()
    {
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetTimestamp() - start < _spinTicks)
        {
            if (Volatile.Read(ref _assignedWork) is not null)
                return;
            Thread.SpinWait(10);
        }
        Interlocked.Exchange(ref _blocked, 1);
        // Work that was assigned before the flag was set does not release the semaphore: in that case reset the flag and do
        // not wait. If Assign has reset the flag in the meantime, its release of the semaphore must be consumed.
        if (Volatile.Read(ref _assignedWork) is null || Interlocked.Exchange(ref _blocked, 0) == 0)
            _wakeUp.Wait();
    }
}
