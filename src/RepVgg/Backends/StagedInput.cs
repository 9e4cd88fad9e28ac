namespace RepVgg.Backends;

/// <summary>A batch on its way to the device: made by <see cref="Backend.Stage"/> on any thread, taken by <see cref="Backend.CreateInput(StagedInput)"/> in a step.</summary>
/// <param name="shape">Its dimensions.</param>
public abstract class StagedInput(IReadOnlyList<int> shape) : IDisposable
{
    /// <summary>The dimensions, NCHW for maps.</summary>
    public IReadOnlyList<int> Shape { get; } = shape;

    /// <summary>Releases what was not taken by a step.</summary>
    public abstract void Dispose();
}

/// <summary>A batch that stays where it is until its step.</summary>
internal sealed class HostInput(IReadOnlyList<int> shape, ReadOnlyMemory<float> values) : StagedInput(shape)
{
    public ReadOnlyMemory<float> Values { get; } = values;

    public override void Dispose()
    {
    }
}
