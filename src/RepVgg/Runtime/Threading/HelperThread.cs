using System.Diagnostics;

namespace RepVgg.Runtime.Threading;

/// <summary>
/// A background thread that executes the work of one caller at a time. After each run it spins for 200 microseconds to
/// start the next run with low latency, then blocks.
/// </summary>
internal sealed class HelperThread
{
    private static readonly long _spinTicks = Stopwatch.Frequency / 5000;

    private readonly SemaphoreSlim _wake = new(0);
    private SharedWork? _invitation;
    private int _worker;
    private int _reserved;
    private int _asleep;

    public HelperThread(int number)
    {
        var thread = new Thread(Loop) { IsBackground = true, Name = $"RepVgg helper {number + 1}" };
        thread.Start();
    }

    /// <summary>Reserves the thread for one run.</summary>
    /// <returns>False if it is reserved by another caller.</returns>
    public bool TryReserve() => Volatile.Read(ref _reserved) == 0 && Interlocked.CompareExchange(ref _reserved, 1, 0) == 0;

    /// <summary>Assigns work to the reserved thread, which executes it as worker <paramref name="worker"/>.</summary>
    public void Invite(SharedWork work, int worker)
    {
        _worker = worker;
        Interlocked.Exchange(ref _invitation, work);
        if (Volatile.Read(ref _asleep) == 1 && Interlocked.Exchange(ref _asleep, 0) == 1)
            _wake.Release();
    }

    /// <summary>Withdraws the work if the thread has not started it, and ends the reservation.</summary>
    /// <returns>False if the thread has started the work; it then calls <see cref="SharedWork.Leave"/> when it is done.</returns>
    public bool TryRetract(SharedWork work)
    {
        if (Interlocked.CompareExchange(ref _invitation, null, work) != work)
            return false;
        Volatile.Write(ref _reserved, 0);
        return true;
    }

    private void Loop()
    {
        while (true)
        {
            WaitForInvitation();
            var work = Interlocked.Exchange(ref _invitation, null);
            if (work is null)
                continue;
            work.Help(_worker);
            // The reservation ends before the caller is notified, so that the caller's next run can reserve this thread again.
            Volatile.Write(ref _reserved, 0);
            work.Leave();
        }
    }

    private void WaitForInvitation()
    {
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetTimestamp() - start < _spinTicks)
        {
            if (Volatile.Read(ref _invitation) is not null)
                return;
            Thread.SpinWait(10);
        }
        Interlocked.Exchange(ref _asleep, 1);
        // Work that was assigned before the flag was set does not release the semaphore: in that case reset the flag and do
        // not wait. If Invite has reset the flag in the meantime, its release of the semaphore must be consumed.
        if (Volatile.Read(ref _invitation) is null || Interlocked.Exchange(ref _asleep, 0) == 0)
            _wake.Wait();
    }
}
