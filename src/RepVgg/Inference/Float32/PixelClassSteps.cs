using System.Runtime.CompilerServices;
using RepVgg.Inference.Execution;
using RepVgg.Runtime.Resampling;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Float32;

/// <summary>The results of a network for segmentation, see <see cref="StepContext.ResultKind"/>.</summary>
internal enum SegmentationResult
{
    /// <summary>The class with the largest logit of every pixel, bytes [H][W].</summary>
    Mask,

    /// <summary>The logits of every pixel, floats [class][H][W].</summary>
    Logits,
}

/// <summary>The 1x1 convolution that gives the logits of a map, [image][row][column][class]; the classes are padded to whole blocks.</summary>
internal sealed unsafe class PixelClassifierStep<TVector, TLanes>(PackedLinear<TVector, TLanes> classifier, MapLayout layout, BufferId source, BufferId target) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    /// <summary>Floats of workspace per worker, for the channels of a pixel.</summary>
    public int WorkspaceFloats => layout.Blocks * TLanes.Width;

    /// <summary>One item is one row of the map of an image.</summary>
    public override int CountItems(StepContext context) => context.Images * layout.Height;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        var (image, y) = Math.DivRem(item, layout.Height);
        int lanes = TLanes.Width, pitch = classifier.Blocks * lanes;
        float* features = context.Workspace(worker);
        float* pixel = context[source] + image * layout.ImagePitch + layout.Origin + (long)y * layout.RowPitch;
        float* logits = context[target] + (long)item * layout.Width * pitch;
        for (int x = 0; x < layout.Width; x++, pixel += lanes, logits += pitch)
        {
            for (int block = 0; block < layout.Blocks; block++)
                TLanes.Store(features + block * lanes, TLanes.Load(pixel + block * layout.BlockPitch));
            for (int block = 0; block < classifier.Blocks; block++)
                TLanes.Store(logits + block * lanes, classifier.Compute(features, block));
        }
    }
}

/// <summary>Resizes the logits of a map to the size of the image, and writes the best class or all logits of every pixel.</summary>
/// <param name="kind">The kind of results that the step writes.</param>
/// <param name="classes">Number of classes.</param>
/// <param name="rows">How the rows of the map become rows of the image.</param>
/// <param name="columns">How the columns of the map become columns of the image.</param>
/// <param name="source">Buffer of the logits, [image][row][column][class].</param>
internal sealed unsafe class PixelResultStep<TVector, TLanes>(SegmentationResult kind, int classes, AxisWeights rows, AxisWeights columns, BufferId source) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private int Pitch => (classes + TLanes.Width - 1) / TLanes.Width * TLanes.Width;

    /// <summary>Floats of workspace per worker: the logits of a row of the image for the columns of the map, and those of one pixel.</summary>
    public int WorkspaceFloats => (columns.Inputs + 1) * Pitch;

    /// <summary>One item is one row of an image.</summary>
    public override int CountItems(StepContext context) => context.ResultKind == (int)kind ? context.Images * rows.Outputs : 0;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        var (image, y) = Math.DivRem(item, rows.Outputs);
        float* row = context.Workspace(worker), pixel = row + columns.Inputs * Pitch;
        ResizeRow(context[source] + (long)image * rows.Inputs * columns.Inputs * Pitch, y, row);
        for (int x = 0; x < columns.Outputs; x++)
        {
            var weights = columns.Weights(x);
            float* first = row + columns.First(x) * Pitch;
            for (int c = 0; c < Pitch; c += TLanes.Width)
            {
                TVector value = TLanes.Multiply(TLanes.Broadcast(weights[0]), TLanes.Load(first + c));
                if (weights.Length > 1)
                    value = TLanes.MultiplyAdd(TLanes.Broadcast(weights[1]), TLanes.Load(first + Pitch + c), value);
                TLanes.Store(pixel + c, value);
            }
            if (kind == SegmentationResult.Mask)
            {
                int best = 0;
                for (int c = 1; c < classes; c++)
                {
                    if (pixel[c] > pixel[best])
                        best = c;
                }
                ((byte*)context.Results)[(long)item * columns.Outputs + x] = (byte)best;
            }
            else
            {
                long plane = (long)rows.Outputs * columns.Outputs;
                float* logits = context.Results + image * classes * plane + (long)y * columns.Outputs + x;
                for (int c = 0; c < classes; c++)
                    logits[c * plane] = pixel[c];
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ResizeRow(float* map, int y, float* row)
    {
        var weights = rows.Weights(y);
        int length = columns.Inputs * Pitch;
        float* first = map + (long)rows.First(y) * length;
        for (int i = 0; i < length; i += TLanes.Width)
        {
            TVector value = TLanes.Multiply(TLanes.Broadcast(weights[0]), TLanes.Load(first + i));
            if (weights.Length > 1)
                value = TLanes.MultiplyAdd(TLanes.Broadcast(weights[1]), TLanes.Load(first + length + i), value);
            TLanes.Store(row + i, value);
        }
    }
}
