using RepVgg.Architectures;

namespace RepVgg.Inference.Execution;

/// <summary>
/// One pass of the engine over a batch, cut into items that any thread may run in any order: an item writes only
/// its own outputs and its arithmetic depends neither on the other items nor on how many images there are.
/// </summary>
internal abstract class Step
{
    /// <summary>The block whose convolution the step computes, or a part of it; null for other steps.</summary>
    public virtual BlockSpec? Block => null;

    /// <summary>Whether the step runs the same code as another one: it is of the same kind, for the same shape of block.</summary>
    public bool IsLike(Step other) =>
        GetType() == other.GetType()
        && (Block is not { } a || other.Block is not { } b
            || (a.InputChannels == b.InputChannels && a.OutputChannels == b.OutputChannels && a.Stride == b.Stride && a.Groups == b.Groups));

    /// <summary>How many items the images of a window have; none where the step isn't needed.</summary>
    public abstract int CountItems(Window window);

    /// <summary>Runs one item.</summary>
    /// <param name="window">The images and their buffers.</param>
    /// <param name="item">From 0 to CountItems - 1.</param>
    /// <param name="worker">Which worker runs it: index of the worker's private scratch.</param>
    public abstract void RunItem(Window window, int item, int worker);
}
