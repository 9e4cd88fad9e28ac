using RepVgg.Inference.Execution;

namespace RepVgg.Inference.Layers;

/// <summary>Pooled features to the caller's output, without the lanes above the last channel.</summary>
/// <param name="layout">The map that was pooled.</param>
internal sealed unsafe class PooledFeaturesStep(MapLayout layout) : Step
{
    public override int CountItems(int images) => images;

    public override void RunItem(Workspace workspace, int item, int worker)
    {
        float* source = workspace[BufferId.Pooled] + (long)item * layout.Blocks * layout.Lanes;
        new ReadOnlySpan<float>(source, layout.Channels).CopyTo(new Span<float>(workspace.Logits + (long)item * layout.Channels, layout.Channels));
    }
}
