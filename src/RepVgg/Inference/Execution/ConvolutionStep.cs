using System.Runtime.CompilerServices;
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
        && block.Geometry == shape.Geometry;
}

/// <summary>A step that computes the convolution of a block directly: panels of filters times bands of rows.</summary>
/// <param name="block">Shape of the block.</param>
/// <param name="height">Height of the output map.</param>
/// <param name="width">Width of the output map.</param>
/// <param name="parts">Number of parts into which the map of an image is divided, each of this height and width; they are treated as images.</param>
internal abstract class DirectStep(BlockSpec block, int height, int width, int parts = 1) : ConvolutionStep(block)
{
    // Pixels of a band, whose input stays in the L1 or L2 cache while all panels are multiplied by it.
    private const int BandPixels = 448;

    /// <summary>Number of panels.</summary>
    protected abstract int Panels { get; }

    /// <summary>Whether the panels are larger than the input. The larger of both is traversed in the outer loop, so that it is read from memory only once.</summary>
    protected abstract bool PanelsFirst { get; }

    protected sealed override WorkShares Shares(StepContext context) => new(context.Images * parts, height, 1, 1, Panels, context.Threads, byRows: !PanelsFirst);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected sealed override void RunShare(StepContext context, WorkShare share, int worker)
    {
        int rows = PanelsFirst ? share.EndRow - share.FirstRow : Math.Max(1, BandPixels / width);
        for (int row = share.FirstRow; row < share.EndRow; row += rows)
        {
            for (int panel = share.FirstPanel; panel < share.EndPanel; panel++)
            {
                var (first, end) = share.Rows(panel, row, Math.Min(row + rows, share.EndRow));
                if (first < end)
                    Convolve(context, worker, panel, first, end, isLast: end == share.EndRow);
            }
        }
    }

    /// <summary>Convolves some rows of the output with a panel of filters.</summary>
    /// <param name="context">The images and their buffers.</param>
    /// <param name="worker">Index of the worker, which selects its private workspace.</param>
    /// <param name="index">Index of the panel.</param>
    /// <param name="first">First row; the rows of all images are counted, one image after the other.</param>
    /// <param name="end">The row after the last.</param>
    /// <param name="isLast">Whether the worker does not use the panel again in this step.</param>
    protected abstract void Convolve(StepContext context, int worker, int index, int first, int end, bool isLast);
}
