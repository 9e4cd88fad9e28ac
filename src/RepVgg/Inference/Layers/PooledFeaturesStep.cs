using RepVgg.Inference.Execution;

namespace RepVgg.Inference.Layers;

/// <summary>Copies the pooled features to the caller's output, [image][channel], without the unused lanes above the last channel.</summary>
/// <param name="layout">Layout of the map that was pooled.</param>
internal sealed unsafe class PooledFeaturesStep(MapLayout layout) : Step
{
    public override int CountItems(Window window) => window.Images;

    public override void RunItem(Window window, int item, int worker)
    {
        float* source = window[BufferId.Pooled] + (long)item * layout.Blocks * layout.Lanes;
        new ReadOnlySpan<float>(source, layout.Channels).CopyTo(new Span<float>(window.Logits + (long)item * layout.Channels, layout.Channels));
    }
}
