using RepVgg.Inference.Execution;

namespace RepVgg.Inference.Float32;

/// <summary>Divides a map into other parts: copies its pixels, and sets the unused last rows and columns of the parts to zero, see <see cref="MapLayout"/>.</summary>
/// <param name="from">Layout of the source.</param>
/// <param name="to">Layout of the target, which is the same map in other parts.</param>
/// <param name="source">Buffer of the source.</param>
/// <param name="target">Buffer of the target.</param>
internal sealed unsafe class DivisionStep(MapLayout from, MapLayout to, BufferId source, BufferId target) : Step
{
    /// <summary>One item is one channel block of one part of an image.</summary>
    public override int CountItems(StepContext context) => context.Images * to.Parts * to.Blocks;

    public override void RunItem(StepContext context, int item, int worker)
    {
        var (part, block) = Math.DivRem(item, to.Blocks);
        var (image, partOfImage) = Math.DivRem(part, to.Parts);
        var (top, left) = Math.DivRem(partOfImage, to.Dilation);
        float* first = context[source] + image * from.Floats + block * from.BlockPitch + from.Origin;
        float* row = context[target] + item * to.BlockPitch + to.Origin;
        for (int y = top; y < to.WholeHeight; y += to.Dilation, row += to.RowPitch)
        {
            float* fromRow = first + y % from.Dilation * from.Dilation * from.ImagePitch + y / from.Dilation * (long)from.RowPitch;
            float* pixel = row;
            for (int x = left; x < to.WholeWidth; x += to.Dilation, pixel += to.Lanes)
            {
                float* value = fromRow + x % from.Dilation * from.ImagePitch + x / from.Dilation * (long)from.Lanes;
                new ReadOnlySpan<float>(value, to.Lanes).CopyTo(new Span<float>(pixel, to.Lanes));
            }
        }
        to.ClearUnused(context[target] + item * to.BlockPitch + to.Origin, partOfImage);
    }
}

/// <summary>Sets the unused last rows and columns of the parts of a map to zero, which a convolution has written.</summary>
/// <param name="layout">Layout of the map.</param>
/// <param name="map">Buffer of the map.</param>
internal sealed unsafe class ClearUnusedStep(MapLayout layout, BufferId map) : Step
{
    /// <summary>One item is one part of an image.</summary>
    public override int CountItems(StepContext context) => context.Images * layout.Parts;

    public override void RunItem(StepContext context, int item, int worker)
    {
        float* block = context[map] + item * layout.ImagePitch + layout.Origin;
        for (int b = 0; b < layout.Blocks; b++, block += layout.BlockPitch)
            layout.ClearUnused(block, item % layout.Parts);
    }
}
