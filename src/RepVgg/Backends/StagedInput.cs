namespace RepVgg.Backends;

/// <summary>
/// A batch that is being copied to the device. It is created by <see cref="Backend.Stage"/> on any thread and used by
/// <see cref="Backend.CreateInput(StagedInput)"/> in a step.
/// </summary>
internal abstract class StagedInput : IDisposable
{
    private protected StagedInput(Backend owner, IReadOnlyList<int> shape) => (Owner, Shape) = (owner, shape);

    /// <summary>The backend that staged the batch.</summary>
    internal Backend Owner { get; }

    /// <summary>The dimensions, NCHW for maps.</summary>
    public IReadOnlyList<int> Shape { get; }

    /// <summary>Releases the resources that were not passed to a step.</summary>
    public abstract void Dispose();
}

/// <summary>A staged batch that remains in host memory and is copied in its step.</summary>
internal sealed class HostInput(Backend owner, IReadOnlyList<int> shape, ReadOnlyMemory<float> values) : StagedInput(owner, shape)
{
    public ReadOnlyMemory<float> Values { get; } = values;

    public override void Dispose()
    {
    }
}
