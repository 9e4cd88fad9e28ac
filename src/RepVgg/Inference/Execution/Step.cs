namespace RepVgg.Inference.Execution;

/// <summary>
/// One operation on a batch of images, divided into items that threads may run in any order. An item writes only its own
/// outputs, and the floating-point operations for an output do not depend on the other items or on the number of images.
/// </summary>
internal abstract class Step
{
    /// <summary>Whether the step runs the same kernels as another one, so that the JIT warm-up needs only one of them.</summary>
    public virtual bool UsesKernelsOf(Step other) => GetType() == other.GetType();

    /// <summary>Number of items for the images of a context; 0 if the step is not needed for them.</summary>
    public abstract int CountItems(StepContext context);

    /// <summary>Runs one item.</summary>
    /// <param name="context">The images and their buffers.</param>
    /// <param name="item">Index of the item, 0 to CountItems - 1.</param>
    /// <param name="worker">Index of the worker, which selects its private workspace.</param>
    public abstract void RunItem(StepContext context, int item, int worker);
}
