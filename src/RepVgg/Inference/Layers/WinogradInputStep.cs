using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Inference.Simd;

namespace RepVgg.Inference.Layers;

/// <summary>Transforms a layer's input: one item is a band of tile rows of one channel block.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal sealed unsafe class WinogradInputStep<TVector, TLanes>(WinogradLayout layout, MapLayout input, BufferId source) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private const int BandTiles = 28;

    private readonly int _bandRows = Math.Max(1, BandTiles / layout.Tiles.TileColumns);

    private int Bands => (layout.Tiles.TileRows + _bandRows - 1) / _bandRows;

    public override int CountItems(int images) => images * input.Blocks * Bands;

    public override void RunItem(Workspace workspace, int item, int worker)
    {
        (item, int band) = Math.DivRem(item, Bands);
        (int image, int block) = Math.DivRem(item, input.Blocks);
        int images = workspace.Images, width = TLanes.Width;
        var tiles = layout.Tiles;
        float* map = workspace[source] + image * input.ImagePitch + block * input.BlockPitch;
        float* target = workspace[BufferId.Transformed] + block * width;
        long pointPitch = layout.PointPitch(images);
        int last = Math.Min((band + 1) * _bandRows, tiles.TileRows);
        for (int row = band * _bandRows; row < last; row++)
        {
            for (int column = 0; column < tiles.TileColumns; column++)
            {
                int index = tiles.IndexOf(images, image, row, column);
                var tile = tiles[images, index];
                WinogradInput<TVector, TLanes>.Transform(
                    map + (long)tile.Y * input.RowPitch + tile.X * width, input.RowPitch,
                    target + (long)index * layout.TilePitch, (nint)pointPitch, tile.Rows, tile.Columns);
            }
        }
    }
}
