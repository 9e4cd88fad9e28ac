namespace RepVgg.Threading;

/// <summary>
/// The process's helper threads, shared by all engines and backends. Callers at work at the same time get fewer helpers
/// each, so that running threads do not outnumber the cores.
/// </summary>
internal static class HelperPool
{
    private static readonly Lock Growing = new();
    private static HelperThread[] _helpers = [];
    private static int _running;

    /// <summary>Counts a calling thread in and invites up to <paramref name="wanted"/> helpers.</summary>
    /// <returns>How many were invited; they stand at the start of <paramref name="helpers"/>.</returns>
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

    /// <summary>Counts one running thread out.</summary>
    public static void Exit() => Interlocked.Decrement(ref _running);

    private static HelperThread[] PoolOf(int count)
    {
        var pool = Volatile.Read(ref _helpers);
        if (pool.Length >= count)
            return pool;
        lock (Growing)
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
