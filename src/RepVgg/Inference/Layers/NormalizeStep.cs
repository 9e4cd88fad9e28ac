using RepVgg.Inference.Execution;
using RepVgg.Networks;

namespace RepVgg.Inference.Layers;

/// <summary>Raw NCHW pixels to the padded input with interleaved channels: (pixel - mean) * scale, then a zero border.</summary>
internal sealed unsafe class NormalizeStep : Step
{
    private const int BandPixels = 4096;

    private readonly MapLayout _layout;
    private readonly float[] _mean;
    private readonly float[] _scale;
    private readonly int _bands;
    private readonly int _bandRows;

    /// <param name="layout">One block that holds all channels.</param>
    /// <param name="normalization">Per channel.</param>
    public NormalizeStep(MapLayout layout, Normalization normalization)
    {
        _layout = layout;
        _mean = [.. normalization.Mean];
        _scale = [.. normalization.Scale];
        _bandRows = Math.Clamp(BandPixels / layout.Width, 1, layout.Height);
        _bands = (layout.Height + _bandRows - 1) / _bandRows;
    }

    public override int CountItems(int images) => images * _bands;

    public override void RunItem(Workspace workspace, int item, int worker)
    {
        (int image, int band) = Math.DivRem(item, _bands);
        int channels = _layout.Channels, width = _layout.Width;
        long plane = (long)_layout.Height * width;
        int first = band * _bandRows, last = Math.Min(first + _bandRows, _layout.Height);
        float* block = workspace[BufferId.Input] + image * _layout.BlockPitch;
        for (int c = 0; c < channels; c++)
        {
            float mean = _mean[c], scale = _scale[c];
            for (int y = first; y < last; y++)
            {
                float* source = workspace.Pixels + (image * channels + c) * plane + (long)y * width;
                float* target = block + _layout.Origin + (long)y * _layout.RowPitch + c;
                for (int x = 0; x < width; x++, target += channels)
                    *target = (source[x] - mean) * scale;
            }
        }
        _layout.ClearBorder(block, first, last);
    }
}
