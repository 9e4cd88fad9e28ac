namespace RepVgg.Runtime.Threading;

/// <summary>Runs the items of loops on several threads with little latency.</summary>
/// <remarks>
/// Items are assigned dynamically, one at a time, to the next free thread. The result of an item must not depend on the
/// thread that runs it or on the order of the items; results are then independent of the number of threads. A call to
/// <c>Run</c> while another one is in progress, nested or concurrent, runs all of its items on the calling thread.
/// </remarks>
/// <param name="threads">Maximum number of threads for one loop, including the calling thread.</param>
internal sealed class ParallelLoop(int threads) : ParallelWork(threads)
{
    private static readonly Action<int, int> _emptyBody = static (_, _) => { };

    private Action<int, int> _body = _emptyBody;
    private int _items;
    private int _isRunning;
    private long _next;

    /// <summary>Runs body(item, worker) for every item below <paramref name="items"/> and returns when all are done.</summary>
    /// <param name="items">Number of items. Derive it from the shape of the work, not from the number of threads.</param>
    /// <param name="body">
    /// Receives the item and the worker index (0 to threads - 1). No two threads of a loop have the same worker index, so it
    /// can select private memory. An exception stops the loop and is rethrown to the caller.
    /// </param>
    public void Run(int items, Action<int, int> body)
    {
        if (items <= 0)
            return;
        if (Interlocked.CompareExchange(ref _isRunning, 1, 0) != 0)
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
            _body = _emptyBody;
            Volatile.Write(ref _isRunning, 0);
        }
    }

    /// <inheritdoc/>
    protected override void Execute(int worker)
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
    protected override void ExecuteAlone() => RunAll(_items, _body);

    /// <inheritdoc/>
    protected override void Cancel() => Interlocked.Exchange(ref _next, _items);

    private static void RunAll(int items, Action<int, int> body)
    {
        for (int item = 0; item < items; item++)
            body(item, 0);
    }
}
