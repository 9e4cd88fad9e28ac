namespace RepVgg.Backends;

/// <summary>A handle to a tensor of a backend. Only the backend that created the tensor can use it.</summary>
/// <remarks>
/// Parameters and buffers are valid until they are disposed. All other tensors are created in a step and are valid until
/// the scope returned by <see cref="Backend.BeginStep"/> is disposed.
/// </remarks>
internal abstract class Tensor : IDisposable
{
    private protected Tensor()
    {
    }

    /// <summary>Dimensions: NCHW for maps, [N, features] for vectors, empty for a scalar.</summary>
    public abstract IReadOnlyList<int> Shape { get; }

    /// <summary>What the tensor is used for.</summary>
    internal abstract TensorRole Role { get; }

    /// <summary>Whether the tensor is the result of <see cref="Backend.EquivalentKernel"/> or <see cref="Backend.QuantizationError"/>, which operations of the same step take as weights and not as a map.</summary>
    internal bool IsKernel { get; init; }

    /// <summary>Whether the memory of the tensor was released: it was disposed, or its step is over.</summary>
    internal abstract bool IsReleased { get; }

    /// <summary>Whether the gradient can be read after the backward pass: true for parameters, and for inputs that were created with requiresGradient in a recorded step.</summary>
    internal abstract bool RetainsGradient { get; }

    /// <summary>
    /// Releases the memory of a parameter or buffer. For a tensor of a step, it releases the handle before the end of the
    /// step, which can save memory; data that the backward pass needs is kept.
    /// </summary>
    public abstract void Dispose();
}

/// <summary>The role of a tensor, which determines its lifetime.</summary>
internal enum TensorRole
{
    /// <summary>A trained tensor; valid until it is disposed.</summary>
    Parameter,

    /// <summary>A tensor that is not trained; valid until it is disposed.</summary>
    Buffer,

    /// <summary>An input or a result of an operation; valid until its step ends.</summary>
    Step,
}
