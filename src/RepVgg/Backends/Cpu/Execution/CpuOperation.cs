namespace RepVgg.Backends.Cpu.Execution;

/// <summary>A recorded operation, with the data for its backward pass.</summary>
internal abstract class CpuOperation(CpuTensor output)
{
    /// <summary>The result of the operation. Its gradient is complete when <see cref="Backward"/> is called.</summary>
    public CpuTensor Output { get; } = output;

    /// <summary>Computes the gradients of the inputs that require one: adds to existing gradients, sets others.</summary>
    public abstract void Backward();
}
