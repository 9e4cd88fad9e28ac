namespace RepVgg.Backends;

/// <summary>A handle to a tensor that lives on a backend. Only the backend that made it can use it.</summary>
/// <remarks>
/// Parameters and buffers live until disposed; everything made between <see cref="Backend.BeginStep"/> and the
/// disposal of what that returned dies with it.
/// </remarks>
public abstract class Tensor : IDisposable
{
    /// <summary>Dimensions: NCHW for maps, [N, features] for vectors, empty for a scalar.</summary>
    public abstract IReadOnlyList<int> Shape { get; }

    /// <summary>Releases a parameter's or buffer's memory. Of a step's tensor it gives up the handle early, which saves memory: what backward needs of it stays.</summary>
    public abstract void Dispose();
}
