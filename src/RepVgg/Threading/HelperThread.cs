using System.Diagnostics;

namespace RepVgg.Threading;

/// <summary>A background thread that helps one caller at a time; it spins shortly after it has helped, then sleeps.</summary>
internal sealed class HelperThread
{
    private static readonly long SpinTicks = Stopwatch.Frequency / 5000;

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

    /// <summary>Takes the helper for one run; false if another caller has it.</summary>
    public bool TryReserve() => Volatile.Read(ref _reserved) == 0 && Interlocked.CompareExchange(ref _reserved, 1, 0) == 0;

    /// <summary>Asks the reserved helper to join as worker number <paramref name="worker"/>.</summary>
    public void Invite(SharedWork work, int worker)
    {
        _worker = worker;
        Interlocked.Exchange(ref _invitation, work);
        if (Volatile.Read(ref _asleep) == 1 && Interlocked.Exchange(ref _asleep, 0) == 1)
            _wake.Release();
    }

    /// <summary>Takes the invitation back. False: the helper has joined and will leave by itself.</summary>
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
            // Free for others before the caller is told, so that its next run finds this helper.
            Volatile.Write(ref _reserved, 0);
            work.Leave();
        }
    }

    private void WaitForInvitation()
    {
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetTimestamp() - start < SpinTicks)
        {
            if (Volatile.Read(ref _invitation) is not null)
                return;
            Thread.SpinWait(10);
        }
        Interlocked.Exchange(ref _asleep, 1);
        // An invitation that came before the flag was seen by nobody: take the flag back, or the wake-up that is under way.
        if (Volatile.Read(ref _invitation) is null || Interlocked.Exchange(ref _asleep, 0) == 0)
            _wake.Wait();
    }
}
