namespace RepVgg.Runtime.Threading;

/// <summary>
/// The helper threads of the process, shared by all engines and backends. Concurrent callers get fewer helper threads
/// each, so that the number of running threads does not exceed the number of cores.
/// </summary>
internal static class HelperPool
{
    private static readonly Lock _growing = new();
    private static HelperThread[] _helpers = [];
    private static int _running;

    /// <summary>Registers the calling thread as running and assigns up to <paramref name="wanted"/> helper threads to the work.</summary>
    /// <param name="work">The work to share.</param>
    /// <param name="helpers">Receives the assigned helper threads in its first elements.</param>
    /// <param name="wanted">Maximum number of helper threads.</param>
    /// <returns>Number of helper threads that were assigned.</returns>
    public static int Enter(SharedWork work, HelperThread[] helpers, int wanted)
    {
        int running = Interlocked.Increment(ref _running);
        wanted = Math.Min(wanted, Math.Max(Environment.ProcessorCount, wanted + 1) - running);
        if (wanted <= 0)
            return 0;
        var pool = PoolOf(wanted);
        int invited = 0;
        foreach (var helper in pool)
        {
            if (!helper.TryReserve())
                continue;
            Interlocked.Increment(ref _running);
            helpers[invited++] = helper;
            helper.Invite(work, invited);
            if (invited == wanted)
                break;
        }
        return invited;
    }

    /// <summary>Unregisters one running thread.</summary>
    public static void Exit() => Interlocked.Decrement(ref _running);

    private static HelperThread[] PoolOf(int count)
    {
        var pool = Volatile.Read(ref _helpers);
        if (pool.Length >= count)
            return pool;
        lock (_growing)
        {
            pool = _helpers;
            if (pool.Length >= count)
                return pool;
            int old = pool.Length;
            Array.Resize(ref pool, count);
            for (int i = old; i < count; i++)
                pool[i] = new HelperThread(i);
            Volatile.Write(ref _helpers, pool);
            return pool;
        }
    }
}
