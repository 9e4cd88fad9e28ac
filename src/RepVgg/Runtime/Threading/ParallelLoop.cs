namespace RepVgg.Runtime.Threading;

/// <summary>Runs the items of loops on several threads with little latency.</summary>
/// <remarks>
/// The items are divided among the threads in contiguous ranges. In loops over the same images, a thread therefore finds in its own cache what it has written in the loop
/// before. A thread that has no items left takes items from the ends of the other ranges. The result of an item must not depend on the
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

    // For each worker, the items of its range that are not taken yet: the first item in the high 32 bits, the item after the last in the low ones.
    private readonly CacheLinePair[] _ranges = new CacheLinePair[threads];

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
            Run(items);
        }
        finally
        {
            _body = _emptyBody;
            Volatile.Write(ref _isRunning, 0);
        }
    }

    /// <inheritdoc/>
    protected override void Prepare()
    {
        for (int worker = 0; worker < Workers; worker++)
            _ranges[worker].Value = (((long)_items * worker / Workers) << 32) | ((long)_items * (worker + 1) / Workers);
    }

    /// <inheritdoc/>
    protected override void Execute(int worker)
    {
        var body = _body;
        while (TryTake(worker, fromEnd: false, out int item))
            body(item, worker);
        for (int i = 1; i < Workers; i++)
        {
            while (TryTake((worker + i) % Workers, fromEnd: true, out int item))
                body(item, worker);
        }
    }

    /// <inheritdoc/>
    protected override void ExecuteAlone() => RunAll(_items, _body);

    /// <inheritdoc/>
    protected override void Cancel()
    {
        for (int worker = 0; worker < Workers; worker++)
            Interlocked.Exchange(ref _ranges[worker].Value, 0);
    }

    /// <summary>Takes an item from the range of a worker.</summary>
    /// <param name="owner">The worker whose range it is.</param>
    /// <param name="fromEnd">Whether to take the last item rather than the first.</param>
    /// <param name="item">Receives the item.</param>
    /// <returns>False if the range has no items left.</returns>
    private bool TryTake(int owner, bool fromEnd, out int item)
    {
        ref long range = ref _ranges[owner].Value;
        while (true)
        {
            long seen = Volatile.Read(ref range);
            int first = (int)(seen >> 32), end = (int)seen;
            item = fromEnd ? end - 1 : first;
            if (first == end)
                return false;
            long rest = fromEnd ? seen - 1 : seen + (1L << 32);
            if (Interlocked.CompareExchange(ref range, rest, seen) == seen)
                return true;
        }
    }

    private static void RunAll(int items, Action<int, int> body)
    {
        for (int item = 0; item < items; item++)
            body(item, 0);
    }
}
