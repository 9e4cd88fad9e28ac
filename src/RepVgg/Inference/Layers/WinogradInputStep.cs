using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Inference.Simd;

namespace RepVgg.Inference.Layers;

/// <summary>Transforms a layer's input: one item is a row of tiles.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal sealed unsafe class WinogradInputStep<TVector, TLanes>(WinogradLayout layout, MapLayout input, BufferId source) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    public override int CountItems(int images) => images * layout.Tiles.TileRows;

    public override void RunItem(Workspace workspace, int item, int worker)
    {
        var tiles = layout.Tiles;
        int images = workspace.Images, width = TLanes.Width;
        (int image, int row) = Math.DivRem(item, tiles.TileRows);
        float* map = workspace[source] + image * input.ImagePitch;
        nint pointPitch = (nint)layout.PointPitch(images);
        for (int column = 0; column < tiles.TileColumns; column++)
        {
            int index = tiles.IndexOf(images, image, row, column);
            var tile = tiles[images, index];
            float* corner = map + (long)tile.Y * input.RowPitch + tile.X * width;
            float* target = workspace[BufferId.Transformed] + (long)index * layout.TilePitch;
            for (int block = 0; block < input.Blocks; block++)
            {
                WinogradInput<TVector, TLanes>.Transform(
                    corner + block * input.BlockPitch, input.RowPitch, target + block * width, pointPitch, tile.Rows, tile.Columns);
            }
        }
    }
}
