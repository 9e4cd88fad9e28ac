using RepVgg.Inference.Execution;
using RepVgg.Networks;

namespace RepVgg.Inference.Layers;

/// <summary>Raw NCHW pixels to the padded planar input: (pixel - mean) * scale, then a zero border.</summary>
internal sealed unsafe class NormalizeStep(MapLayout layout, Normalization normalization) : Step
{
    public override int CountItems(int images) => images * layout.Channels;

    public override void RunItem(Workspace workspace, int item, int worker)
    {
        int channel = item % layout.Channels;
        float mean = normalization.Mean[channel], scale = normalization.Scale[channel];
        float* source = workspace.Pixels + (long)item * layout.Height * layout.Width;
        float* block = workspace[BufferId.Input] + item * layout.BlockPitch;
        layout.ClearBorder(block, 0, layout.Height);
        for (int y = 0; y < layout.Height; y++)
        {
            float* row = block + layout.Origin + (long)y * layout.RowPitch;
            for (int x = 0; x < layout.Width; x++)
                row[x] = (source[x] - mean) * scale;
            source += layout.Width;
        }
    }
}
