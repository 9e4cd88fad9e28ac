using RepVgg.Architectures;

namespace RepVgg.Inference.Execution;

/// <summary>A step that computes the convolution of a block. An item is a share of the rows of the output and of the filters.</summary>
/// <param name="block">Shape of the block.</param>
internal abstract class ConvolutionStep(BlockSpec block) : Step
{
    /// <summary>The block whose convolution the step computes.</summary>
    public BlockSpec Block => block;

    /// <summary>Number of shares; some can be empty.</summary>
    public sealed override int CountItems(StepContext context) => Shares(context).Count;

    public sealed override void RunItem(StepContext context, int item, int worker)
    {
        var share = Shares(context)[item];
        if (!share.IsEmpty)
            RunShare(context, share, worker);
    }

    /// <summary>Divides the work of the layer among the threads.</summary>
    protected abstract WorkShares Shares(StepContext context);

    /// <summary>Computes a share of the layer.</summary>
    /// <param name="context">The images and their buffers.</param>
    /// <param name="share">The share, which is not empty.</param>
    /// <param name="worker">Index of the worker, which selects its private workspace.</param>
    protected abstract void RunShare(StepContext context, WorkShare share, int worker);

    /// <summary>Whether both steps have the same type and the same shape of block.</summary>
    public override bool UsesKernelsOf(Step other) =>
        base.UsesKernelsOf(other) && other is ConvolutionStep { Block: var shape }
        && block.InputChannels == shape.InputChannels && block.OutputChannels == shape.OutputChannels
        && block.Stride == shape.Stride && block.Groups == shape.Groups;
}
