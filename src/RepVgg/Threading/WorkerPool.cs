using System.Diagnostics;

namespace RepVgg.Threading;

/// <summary>The process's helper threads: runs the items of a loop on several cores with little latency.</summary>
/// <remarks>
/// There is one pool for all engines and backends of the process, so that several of them at work do not start more
/// threads than there are cores. The calling thread always takes part. One loop at a time gets the helpers; a loop that
/// finds them taken runs on its caller alone. Items are handed out dynamically, so a body's result must not depend on
/// who runs an item or when: then results do not depend on the number of threads either.
/// Helpers spin for a short while after their last loop and park after that.
/// </remarks>
internal sealed class WorkerPool
{
    // _state: open flag, 30 bits of the loop's generation, 16 bits of helpers that joined, 16 bits of helpers at work.
    private const long Open = 1L << 62;
    private const int GenerationShift = 32;
    private const long GenerationMask = (1L << 30) - 1;
    private const int JoinedShift = 16;
    private const long OneJoined = 1L << JoinedShift;
    private const long OneActive = 1;
    private const long ActiveMask = OneJoined - 1;

    private static readonly long _spinTicks = Stopwatch.Frequency / 5000;

    private readonly Lock _startLock = new();
    private readonly object _parking = new();
    private int _helpers;
    private int _parked;
    private int _busy;
    private long _generation;

    // The loop that runs now.
    private Action<int, int> _body = static (_, _) => { };
    private int _items;
    private int _helperLimit;
    private Exception? _failure;
    private PaddedCounter _state;
    private PaddedCounter _next;

    /// <summary>The pool of this process.</summary>
    public static WorkerPool Shared { get; } = new();

    /// <summary>Turns an option "threads, 0 for all cores" into a number of threads.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A negative number or more than 1024.</exception>
    public static int ResolveThreads(int threads)
    {
        if (threads is < 0 or > 1024)
            throw new ArgumentOutOfRangeException(nameof(threads), threads, "The number of threads must be 0 (all cores) or 1 to 1024.");
        return threads == 0 ? Environment.ProcessorCount : threads;
    }

    /// <summary>Runs body(item, worker) for every item below <paramref name="items"/> and returns when all are done.</summary>
    /// <param name="items">How many items; fix it by the shape of the work, not by the number of threads.</param>
    /// <param name="maxThreads">How many threads may take part, the caller's included.</param>
    /// <param name="body">
    /// Gets the item and the worker's number, 0 to <paramref name="maxThreads"/> - 1, which no two threads of this call share:
    /// it picks scratch memory. Keep the delegate in a field where nothing may be allocated.
    /// </param>
    public void Run(int items, int maxThreads, Action<int, int> body)
    {
        if (items <= 0)
            return;
        int threads = Math.Min(items, maxThreads);
        if (threads <= 1 || Interlocked.CompareExchange(ref _busy, 1, 0) != 0)
        {
            for (int item = 0; item < items; item++)
                body(item, 0);
            return;
        }
        try
        {
            RunShared(items, threads, body);
        }
        finally
        {
            _body = static (_, _) => { };
            Volatile.Write(ref _busy, 0);
        }
    }

    private void RunShared(int items, int threads, Action<int, int> body)
    {
        EnsureHelpers(threads - 1);
        _body = body;
        _items = items;
        _helperLimit = threads - 1;
        _failure = null;
        _next.Value = 0;
        Volatile.Write(ref _state.Value, Open | (((_generation + 1) & GenerationMask) << GenerationShift));
        Interlocked.Increment(ref _generation);
        if (Volatile.Read(ref _parked) > 0)
        {
            lock (_parking)
                Monitor.PulseAll(_parking);
        }

        TakeItems(0);

        // No helper may join from here on; those that did are waited for.
        long state = Interlocked.And(ref _state.Value, ~Open);
        var spinner = new SpinWait();
        while ((state & ActiveMask) != 0)
        {
            spinner.SpinOnce(sleep1Threshold: -1);
            state = Volatile.Read(ref _state.Value);
        }
        if (_failure is { } failure)
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
    }

    private void TakeItems(int worker)
    {
        var body = _body;
        int items = _items;
        try
        {
            while (true)
            {
                long item = Interlocked.Increment(ref _next.Value) - 1;
                if (item >= items)
                    return;
                body((int)item, worker);
            }
        }
        catch (Exception exception)
        {
            Interlocked.CompareExchange(ref _failure, exception, null);
            Interlocked.Exchange(ref _next.Value, items);
        }
    }

    private void HelperLoop()
    {
        long seen = 0;
        while (true)
        {
            seen = WaitForLoop(seen);
            long state = Volatile.Read(ref _state.Value);
            while ((state & Open) != 0 && Joined(state) < _helperLimit)
            {
                long joined = state + OneJoined + OneActive;
                long found = Interlocked.CompareExchange(ref _state.Value, joined, state);
                if (found == state)
                {
                    TakeItems(Joined(joined));
                    Interlocked.Add(ref _state.Value, -OneActive);
                    break;
                }
                state = found;
            }
        }
    }

    private static int Joined(long state) => (ushort)(state >> JoinedShift);

    private long WaitForLoop(long seen)
    {
        long generation;
        long start = Stopwatch.GetTimestamp();
        while ((generation = Volatile.Read(ref _generation)) == seen)
        {
            Thread.SpinWait(20);
            if (Stopwatch.GetTimestamp() - start < _spinTicks)
                continue;
            lock (_parking)
            {
                Interlocked.Increment(ref _parked);
                while ((generation = Volatile.Read(ref _generation)) == seen)
                    Monitor.Wait(_parking);
                Interlocked.Decrement(ref _parked);
            }
            return generation;
        }
        return generation;
    }

    private void EnsureHelpers(int needed)
    {
        if (Volatile.Read(ref _helpers) >= needed)
            return;
        lock (_startLock)
        {
            while (_helpers < needed)
            {
                _helpers++;
                new Thread(HelperLoop) { IsBackground = true, Name = $"RepVgg worker {_helpers}" }.Start();
            }
        }
    }

    /// <summary>A counter that shares its cache lines with nothing else.</summary>
    [System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Explicit, Size = 256)]
    private struct PaddedCounter
    {
        [System.Runtime.InteropServices.FieldOffset(128)]
        public long Value;
    }
}
