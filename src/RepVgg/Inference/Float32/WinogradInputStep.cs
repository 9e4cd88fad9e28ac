using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Float32.Kernels;
using RepVgg.Runtime.Simd;
using RepVgg.Runtime.Winograd;

namespace RepVgg.Inference.Float32;

/// <summary>Winograd input transform of a layer whose transformed tiles are shared by several items. One item is a row of tiles.</summary>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <param name="block">Shape of the block.</param>
/// <param name="tiling">Tiles and channels of the layer.</param>
/// <param name="input">Layout of the input map.</param>
/// <param name="source">Buffer of the input map.</param>
internal sealed unsafe class WinogradInputStep<TVector, TLanes>(BlockSpec block, WinogradTiling tiling, MapLayout input, BufferId source)
    : ConvolutionStep(block)
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    /// <summary>Number of rows of tiles; 0 if the items of the <see cref="WinogradMultiplyStep{TVector, TLanes}"/> transform the tiles that they use.</summary>
    public override int CountItems(StepContext context) =>
        tiling.Divide(context) is { AreFused: true } or { AreTransformedPerThread: true } ? 0 : context.Images * tiling.Rows.Tiles;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        var chunks = tiling.Divide(context);
        (int image, int row) = Math.DivRem(item, tiling.Rows.Tiles);
        int index = chunks.ChunkOf(image, row);
        var chunk = chunks[index];
        nint* offsets = stackalloc nint[WinogradTile.AllPoints], blockPitches = stackalloc nint[WinogradTile.Points];
        chunk.ComputeOffsets(tiling.Blocks, TLanes.Width, offsets, blockPitches);
        TransformRow(context, chunk, image, row, context[BufferId.TransformedTiles] + index * chunks.ChunkFloats, offsets, blockPitches);
    }

    /// <summary>Transforms all channels of a row of tiles.</summary>
    /// <param name="context">The images and their buffers.</param>
    /// <param name="chunk">The chunk that contains the row.</param>
    /// <param name="image">The image that contains the row.</param>
    /// <param name="row">Index of the row of tiles in the image.</param>
    /// <param name="target">Receives the transformed tiles; start of the chunk's values.</param>
    /// <param name="offsets">Offset of the values of each pair of points; see <see cref="TileChunk.ComputeOffsets"/>.</param>
    /// <param name="blockPitches">Floats from one channel block to the next, for each row point.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void TransformRow(
        StepContext context, in TileChunk chunk, int image, int row, float* target, nint* offsets, nint* blockPitches)
    {
        int width = TLanes.Width;
        bool prefetches = input.ExceedsL2Cache(context.Images);
        nint* first = stackalloc nint[WinogradTile.AllPoints], addresses = stackalloc nint[WinogradTile.AllPoints];
        chunk.ComputeTileOffsets(image, row, width, offsets, first);
        int rows = tiling.Rows.SizeOf(row), columnTiles = tiling.Columns.Tiles;
        float* block = context[source] + image * input.ImagePitch + (long)row * WinogradTile.Size * input.RowPitch;
        for (int b = 0; b < input.Blocks; b++, block += input.BlockPitch)
        {
            for (int i = 0; i < WinogradTile.AllPoints; i++)
            {
                addresses[i] = first[i];
                first[i] += blockPitches[i / WinogradTile.Points];
            }
            float* corner = block, values = target;
            for (int column = 0; column < columnTiles; column++, corner += WinogradTile.Size * width, values += width)
                WinogradInputTransform<TVector, TLanes>.Transform(corner, input.RowPitch, values, addresses, rows, tiling.Columns.SizeOf(column), prefetches);
        }
    }
}
