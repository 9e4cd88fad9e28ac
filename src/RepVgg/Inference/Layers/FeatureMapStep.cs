using RepVgg.Inference.Execution;

namespace RepVgg.Inference.Layers;

/// <summary>Converts an activation map from the blocked layout to NCHW and writes it to the caller's output.</summary>
/// <param name="layout">Layout of the map.</param>
/// <param name="source">Buffer of the map.</param>
internal sealed unsafe class FeatureMapStep(MapLayout layout, BufferId source) : Step
{
    public override int CountItems(Window window) => window.Images * layout.Blocks;

    public override void RunItem(Window window, int item, int worker)
    {
        (int image, int index) = Math.DivRem(item, layout.Blocks);
        int lanes = layout.Lanes, channels = Math.Min(lanes, layout.Channels - index * lanes);
        long plane = (long)layout.Height * layout.Width;
        float* block = window[source] + item * layout.BlockPitch + layout.Origin;
        float* target = window.Logits + ((long)image * layout.Channels + index * lanes) * plane;
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
