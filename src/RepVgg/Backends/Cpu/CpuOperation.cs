namespace RepVgg.Backends.Cpu;

/// <summary>One recorded operation: what it needs to pass gradients back.</summary>
internal abstract class CpuOperation(CpuTensor output)
{
    /// <summary>The result, whose gradient is complete when <see cref="Backward"/> is called.</summary>
    public CpuTensor Output { get; } = output;

    /// <summary>Adds to, or sets, the gradients of the inputs that require one.</summary>
    public abstract void Backward();
}
