using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Layers;

/// <summary>Winograd input transform of a layer whose transformed tiles are shared by several items. One item is a row of tiles.</summary>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <param name="block">Shape of the block.</param>
/// <param name="layout">Tiles and channels of the layer.</param>
/// <param name="input">Layout of the input map.</param>
/// <param name="source">Buffer of the input map.</param>
internal sealed unsafe class WinogradInputStep<TVector, TLanes>(BlockSpec block, WinogradLayout layout, MapLayout input, BufferId source) : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    public override BlockSpec Block => block;

    /// <summary>Number of rows of tiles; 0 if the items of the <see cref="WinogradMultiplyStep{TVector, TLanes}"/> transform the tiles that they use.</summary>
    public override int CountItems(Window window) =>
        layout.Cut(window) is { AreFused: true } or { AreTransformedByAll: true } ? 0 : window.Images * layout.Rows.Tiles;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(Window window, int item, int worker)
    {
        var chunks = layout.Cut(window);
        (int image, int row) = Math.DivRem(item, layout.Rows.Tiles);
        int index = chunks.ChunkOf(image, row);
        var chunk = chunks[index];
        nint* offsets = stackalloc nint[WinogradChunk.Points], blockPitches = stackalloc nint[WinogradAxis.Points];
        chunk.Lay(layout.Blocks, TLanes.Width, offsets, blockPitches);
        TransformRow(window, chunk, image, row, window[BufferId.Transformed] + index * chunks.ChunkFloats, offsets, blockPitches);
    }

    /// <summary>Transforms all channels of a row of tiles.</summary>
    /// <param name="window">The images and their buffers.</param>
    /// <param name="chunk">The chunk that contains the row.</param>
    /// <param name="image">The image that contains the row.</param>
    /// <param name="row">Index of the row of tiles in the image.</param>
    /// <param name="target">Receives the transformed tiles; start of the chunk's values.</param>
    /// <param name="offsets">Offset of the values of each pair of points; see <see cref="WinogradChunk.Lay"/>.</param>
    /// <param name="blockPitches">Floats from one channel block to the next, for each row point.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void TransformRow(
        Window window, in WinogradChunk chunk, int image, int row, float* target, nint* offsets, nint* blockPitches)
    {
        int width = TLanes.Width;
        bool far = input.IsFar(window.Images);
        nint* first = stackalloc nint[WinogradChunk.Points], addresses = stackalloc nint[WinogradChunk.Points];
        chunk.Locate(image, row, width, offsets, first);
        int rows = layout.Rows.SizeOf(row), columnTiles = layout.Columns.Tiles;
        float* block = window[source] + image * input.ImagePitch + (long)row * WinogradAxis.TileSize * input.RowPitch;
        for (int b = 0; b < input.Blocks; b++, block += input.BlockPitch)
        {
            for (int i = 0; i < WinogradChunk.Points; i++)
            {
                addresses[i] = first[i];
                first[i] += blockPitches[i / WinogradAxis.Points];
            }
            float* corner = block, values = target;
            for (int column = 0; column < columnTiles; column++, corner += WinogradAxis.TileSize * width, values += width)
                WinogradInput<TVector, TLanes>.Transform(corner, input.RowPitch, values, addresses, rows, layout.Columns.SizeOf(column), far);
        }
    }
}
