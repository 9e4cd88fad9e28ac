namespace RepVgg.Threading;

/// <summary>Runs the items of loops on several threads with little latency.</summary>
/// <remarks>
/// Items are handed out one by one to whoever is free, so an item's result must not depend on who runs it or when: then
/// results do not depend on the number of threads either. A loop inside an item, or beside one, runs on its caller alone.
/// </remarks>
/// <param name="threads">Most threads on one loop, the caller included.</param>
internal sealed class ParallelLoop(int threads) : SharedWork(threads)
{
    private static readonly Action<int, int> Nothing = static (_, _) => { };

    private Action<int, int> _body = Nothing;
    private int _items;
    private int _busy;
    private long _next;

    /// <summary>Runs body(item, worker) for every item below <paramref name="items"/> and returns when all are done.</summary>
    /// <param name="items">How many items; fix it by the shape of the work, not by the number of threads.</param>
    /// <param name="body">
    /// Gets the item and the worker's number, from 0 and below the number of threads, which no two threads of a loop
    /// share: it picks scratch memory. What it throws stops the loop and reaches the caller.
    /// </param>
    public void Run(int items, Action<int, int> body)
    {
        if (items <= 0)
            return;
        if (Interlocked.CompareExchange(ref _busy, 1, 0) != 0)
        {
            RunAll(items, body);
            return;
        }
        try
        {
            _body = body;
            _items = items;
            Volatile.Write(ref _next, 0);
            Run(items);
        }
        finally
        {
            _body = Nothing;
            Volatile.Write(ref _busy, 0);
        }
    }

    /// <inheritdoc/>
    protected override void Work(int worker)
    {
        var body = _body;
        int items = _items;
        while (true)
        {
            long item = Interlocked.Increment(ref _next) - 1;
            if (item >= items)
                return;
            body((int)item, worker);
        }
    }

    /// <inheritdoc/>
    protected override void WorkAlone() => RunAll(_items, _body);

    /// <inheritdoc/>
    protected override void Abandon() => Interlocked.Exchange(ref _next, _items);

    private static void RunAll(int items, Action<int, int> body)
    {
        for (int item = 0; item < items; item++)
            body(item, 0);
    }
}
