namespace RepVgg.Inference.Execution;

/// <summary>Workspaces waiting for the next run; there are as many as there were ever runs at once.</summary>
internal sealed class WorkspacePool(Plan plan, int threads) : IDisposable
{
    private const long MaximumBytes = 48L << 20;
    private const int MaximumCapacity = 32;

    private readonly Lock _access = new();
    private readonly int _maximumCapacity = LargestCapacity(plan);
    private Workspace[] _idle = new Workspace[4];
    private int _count;

    /// <summary>A workspace for up to <paramref name="images"/> images at a time, or fewer where memory says so.</summary>
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

    /// <summary>Takes a workspace back.</summary>
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
