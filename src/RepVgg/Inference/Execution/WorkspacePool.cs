namespace RepVgg.Inference.Execution;

/// <summary>
/// A pool of idle workspaces. A workspace is created when no idle one has the required capacity, and is kept until the pool
/// is disposed. Returned workspaces are reused.
/// </summary>
internal sealed class WorkspacePool(Plan plan, int threads) : IDisposable
{
    private const long MaximumBytes = 48L << 20;
    private const int MaximumCapacity = 32;

    private readonly Lock _access = new();
    private readonly int _maximumCapacity = LargestCapacity(plan);
    private Workspace[] _idle = new Workspace[4];
    private int _count;

    /// <summary>
    /// Rents a workspace for up to <paramref name="images"/> images. Its capacity can be smaller: it is limited to 32 images
    /// and to the largest power of two whose trailing-stage buffers fit in 48 MiB, but at least 1.
    /// </summary>
    public Workspace Rent(int images)
    {
        int capacity = Math.Min((int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Min(images, MaximumCapacity)), _maximumCapacity);
        lock (_access)
        {
            for (int i = 0; i < _count; i++)
            {
                var workspace = _idle[i];
                if (workspace.Capacity < capacity)
                    continue;
                _idle[i] = _idle[--_count];
                return workspace;
            }
        }
        return new Workspace(plan, capacity, threads);
    }

    /// <summary>Returns a rented workspace to the pool.</summary>
    public void Return(Workspace workspace)
    {
        lock (_access)
        {
            if (_count == _idle.Length)
                Array.Resize(ref _idle, 2 * _count);
            _idle[_count++] = workspace;
        }
    }

    public void Dispose()
    {
        lock (_access)
        {
            while (_count > 0)
                _idle[--_count].Dispose();
        }
    }

    private static int LargestCapacity(Plan plan)
    {
        long total = 0;
        foreach (long floats in plan.Trailing.BufferFloats)
            total += floats;
        long fit = Math.Clamp(MaximumBytes / sizeof(float) / Math.Max(total, 1), 1, MaximumCapacity);
        return 1 << System.Numerics.BitOperations.Log2((uint)fit);
    }
}
