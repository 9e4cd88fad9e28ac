using System.Runtime.CompilerServices;
using RepVgg.Inference.Execution;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Float32;

/// <summary>Converts an activation map from the blocked layout to NCHW and writes it to the caller's output.</summary>
/// <param name="layout">Layout of the map.</param>
/// <param name="source">Buffer of the map.</param>
internal sealed unsafe class FeatureMapOutputStep(MapLayout layout, BufferId source) : Step
{
    public override int CountItems(StepContext context) => context.Images * layout.Blocks;

    public override void RunItem(StepContext context, int item, int worker)
    {
        (int image, int index) = Math.DivRem(item, layout.Blocks);
        int lanes = layout.Lanes, channels = Math.Min(lanes, layout.Channels - index * lanes);
        long plane = (long)layout.Height * layout.Width;
        float* block = context[source] + item * layout.BlockPitch + layout.Origin;
        float* target = context.Results + ((long)image * layout.Channels + index * lanes) * plane;
        for (int y = 0; y < layout.Height; y++)
        {
            float* pixel = block + (long)y * layout.RowPitch;
            float* row = target + (long)y * layout.Width;
            for (int x = 0; x < layout.Width; x++, pixel += lanes)
            {
                for (int c = 0; c < channels; c++)
                    row[c * plane + x] = pixel[c];
            }
        }
    }
}

/// <summary>Copies the pooled features to the caller's output, [image][channel], without the unused lanes above the last channel.</summary>
/// <param name="channels">Number of channels that were pooled.</param>
/// <param name="pitch">Floats from one image's pooled features to the next image's.</param>
internal sealed unsafe class PooledOutputStep(int channels, int pitch) : Step
{
    public override int CountItems(StepContext context) => context.Images;

    public override void RunItem(StepContext context, int item, int worker)
    {
        float* source = context[BufferId.Pooled] + (long)item * pitch;
        new ReadOnlySpan<float>(source, channels).CopyTo(new Span<float>(context.Results + (long)item * channels, channels));
    }
}

/// <summary>The final linear layer: computes the logits from the pooled features and writes them to the caller's output.</summary>
/// <typeparam name="TVector">The vector type; lanes are classes.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <param name="layer">Weights and biases.</param>
/// <param name="featurePitch">Floats from one image's pooled features to the next image's.</param>
/// <param name="weights">Receives the packed weights.</param>
internal sealed unsafe class ClassifierStep<TVector, TLanes>(LinearSource layer, int featurePitch, WeightArena weights) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private readonly PackedLinear<TVector, TLanes> _linear = new(layer, weights);

    /// <summary>One item is one block of classes for all images, so that its weights are read from memory once.</summary>
    public override int CountItems(StepContext context) => _linear.Blocks;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        int first = item * TLanes.Width, classes = _linear.OutputFeatures;
        float* lanes = stackalloc float[TLanes.Width];
        for (int image = 0; image < context.Images; image++)
        {
            TVector value = _linear.Compute(context[BufferId.Pooled] + (long)image * featurePitch, item);
            float* target = context.Results + (long)image * classes + first;
            if (first + TLanes.Width <= classes)
            {
                TLanes.Store(target, value);
                continue;
            }
            TLanes.Store(lanes, value);
            for (int i = 0; i < classes - first; i++)
                target[i] = lanes[i];
        }
    }
}
