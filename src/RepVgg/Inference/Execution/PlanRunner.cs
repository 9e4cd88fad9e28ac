using RepVgg.Weights;

namespace RepVgg.Inference.Execution;

/// <summary>Runs a plan for any number of threads at the same time: it owns the plan and the pool of workspaces, and frees them when the last run has ended after its disposal.</summary>
internal sealed unsafe class PlanRunner : IDisposable
{
    private readonly Plan _plan;
    private readonly WorkspacePool _workspaces;
    private readonly object _owner;

    // Reference count: one for the owner and one for each run in progress. The memory is freed when it reaches zero.
    private int _users = 1;
    private int _disposed;

    /// <summary>Builds a plan and packs its weights.</summary>
    /// <param name="owner">The engine, which is named if it is used after its disposal.</param>
    /// <param name="height">Height of an image, for messages.</param>
    /// <param name="width">Width of an image, for messages.</param>
    /// <param name="threads">Maximum number of threads for one run.</param>
    /// <param name="build">Builds the plan.</param>
    /// <param name="limits">Limits on the memory of one image; null for none.</param>
    /// <exception cref="InvalidDataException">One image needs more memory than <paramref name="limits"/> allow. The message contains only the reason.</exception>
    /// <exception cref="InsufficientMemoryException">The memory for the network and one image is not available.</exception>
    public PlanRunner(object owner, int height, int width, int threads, Func<Plan> build, WeightsFileLimits? limits)
    {
        _owner = owner;
        double bytes = 0;
        try
        {
            _plan = build();
            bytes = _plan.BytesOfOneImage(threads);
            if (limits is not null && bytes > limits.MaximumWorkspaceBytes)
            {
                throw new InvalidDataException(FormattableString.Invariant(
                    $"images of {height} x {width} pixels (height x width) are too large for the network: one needs {bytes:f0} bytes of memory, and the limit is {limits.MaximumWorkspaceBytes}, see WeightsFileLimits.MaximumWorkspaceBytes"));
            }
            _workspaces = new WorkspacePool(_plan, threads);
            var workspace = _workspaces.Rent(1);
            _plan.PackWeights(threads, workspace);
            _workspaces.Return(workspace);
        }
        catch (OutOfMemoryException error)
        {
            Free();
            throw new InsufficientMemoryException(FormattableString.Invariant($"There is not enough memory for the network and one image of {height} x {width} pixels, which needs {bytes:f0} bytes beside the weights."), error);
        }
        catch
        {
            Free();
            throw;
        }
    }

    /// <summary>Runs the plan on images.</summary>
    /// <param name="images">The pixels of all images.</param>
    /// <param name="count">Number of images; for 0 the method does nothing.</param>
    /// <param name="results">Receives the results.</param>
    /// <param name="resultBytes">Bytes of the results of one image.</param>
    /// <param name="kind">The kind of results, for plans that have several.</param>
    /// <exception cref="ObjectDisposedException">The engine was disposed.</exception>
    public void Run(PixelPointer images, int count, byte* results, long resultBytes, int kind = 0)
    {
        Enter();
        try
        {
            if (count == 0)
                return;
            var workspace = _workspaces.Rent(count);
            try
            {
                for (int first = 0; first < count; first += workspace.Capacity)
                    workspace.Run(images.Skip((long)first * _plan.InputLength), (float*)(results + first * resultBytes), Math.Min(workspace.Capacity, count - first), kind);
            }
            finally
            {
                _workspaces.Return(workspace);
            }
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>Frees the weights and the workspaces. If runs are in progress, the memory is freed when the last of them finishes.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
            Leave();
    }

    private void Enter()
    {
        int users = Volatile.Read(ref _users);
        while (true)
        {
            ObjectDisposedException.ThrowIf(users == 0 || Volatile.Read(ref _disposed) != 0, _owner);
            int seen = Interlocked.CompareExchange(ref _users, users + 1, users);
            if (seen == users)
                return;
            users = seen;
        }
    }

    private void Leave()
    {
        if (Interlocked.Decrement(ref _users) == 0)
            Free();
    }

    /// <summary>Frees the memory, of which the constructor may have allocated only a part.</summary>
    private void Free()
    {
        _workspaces?.Dispose();
        _plan?.Dispose();
    }
}
