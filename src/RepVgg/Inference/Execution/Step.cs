using RepVgg.Architectures;

namespace RepVgg.Inference.Execution;

/// <summary>
/// One operation on a batch of images, divided into items that threads may run in any order. An item writes only its own
/// outputs, and the floating-point operations for an output do not depend on the other items or on the number of images.
/// </summary>
internal abstract class Step
{
    /// <summary>The block whose convolution, or part of a convolution, the step computes; null for other steps.</summary>
    public virtual BlockSpec? Block => null;

    /// <summary>Whether the step runs the same kernels as another one: both have the same type and, for convolutions, the same shape of block.</summary>
    public bool IsLike(Step other) =>
        GetType() == other.GetType()
        && (Block is not { } a || other.Block is not { } b
            || (a.InputChannels == b.InputChannels && a.OutputChannels == b.OutputChannels && a.Stride == b.Stride && a.Groups == b.Groups));

    /// <summary>Number of items for the images of a window; 0 if the step is not needed for them.</summary>
    public abstract int CountItems(Window window);

    /// <summary>Runs one item.</summary>
    /// <param name="window">The images and their buffers.</param>
    /// <param name="item">Index of the item, 0 to CountItems - 1.</param>
    /// <param name="worker">Index of the worker, which selects its private scratch memory.</param>
    public abstract void RunItem(Window window, int item, int worker);
}
