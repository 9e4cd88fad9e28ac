namespace RepVgg.Backends;

/// <summary>A handle to a tensor of a backend. Only the backend that created the tensor can use it.</summary>
/// <remarks>
/// Parameters and buffers are valid until they are disposed. All other tensors are created in a step and are valid until
/// the scope returned by <see cref="Backend.BeginStep"/> is disposed.
/// </remarks>
public abstract class Tensor : IDisposable
{
    /// <summary>Dimensions: NCHW for maps, [N, features] for vectors, empty for a scalar.</summary>
    public abstract IReadOnlyList<int> Shape { get; }

    /// <summary>
    /// Releases the memory of a parameter or buffer. For a tensor of a step, it releases the handle before the end of the
    /// step, which can save memory; data that the backward pass needs is kept.
    /// </summary>
    public abstract void Dispose();
}
