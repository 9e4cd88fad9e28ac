using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Simd;

namespace RepVgg.Inference.Layers;

/// <summary>Transforms a layer's input where several items will share it; one item is a row of tiles.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal sealed unsafe class WinogradInputStep<TVector, TLanes>(BlockSpec block, WinogradLayout layout, MapLayout input, BufferId source) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    public override BlockSpec Block => block;

    /// <summary>None where the multiplication transforms its own tiles.</summary>
    public override int CountItems(int images) => layout.IsFused(images) ? 0 : images * layout.Tiles.TileRows;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(Workspace workspace, int item, int worker)
    {
        var tiles = layout.Tiles;
        int images = workspace.Images;
        (int image, int row) = Math.DivRem(item, tiles.TileRows);
        nint pointPitch = (nint)layout.PointPitch(images * tiles.Count);
        for (int column = 0; column < tiles.TileColumns; column++)
        {
            int index = tiles.IndexOf(images, image, row, column);
            TransformTile(
                workspace, tiles[images, index], workspace[BufferId.Transformed] + (long)index * layout.TilePitch, pointPitch);
        }
    }

    /// <summary>Transforms all channels of one tile.</summary>
    /// <param name="workspace">Where the map is.</param>
    /// <param name="tile">The tile.</param>
    /// <param name="target">Where point 0 goes.</param>
    /// <param name="pointPitch">Floats from one point to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void TransformTile(Workspace workspace, in WinogradTile tile, float* target, nint pointPitch)
    {
        int width = TLanes.Width;
        bool far = input.IsFar(workspace.Images);
        float* corner = workspace[source] + tile.Image * input.ImagePitch + (long)tile.Y * input.RowPitch + tile.X * width;
        for (int b = 0; b < input.Blocks; b++)
        {
            WinogradInput<TVector, TLanes>.Transform(
                corner + b * input.BlockPitch, input.RowPitch, target + b * width, pointPitch, tile.Rows, tile.Columns, far);
        }
    }
}
