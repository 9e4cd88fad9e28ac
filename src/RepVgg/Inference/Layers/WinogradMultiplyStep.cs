using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Networks;
using RepVgg.Simd;

namespace RepVgg.Inference.Layers;

/// <summary>
/// 3x3 convolution in Winograd's domain: transforms filters, multiplies them with a chunk of transformed tiles, and
/// transforms the sums back to pixels with bias and optional ReLU.
/// </summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal sealed unsafe class WinogradMultiplyStep<TVector, TLanes> : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    // How far ahead of their use filters are brought from memory.
    private const int AheadFloats = 4096;

    private static readonly float[] Zeros = GC.AllocateArray<float>(Panels.MaximumVectors * 16, pinned: true);

    private readonly WinogradLayout _layout;
    private readonly WinogradInputStep<TVector, TLanes> _input;
    private readonly MapLayout _output;
    private readonly BufferId _target;
    private readonly bool _relu;
    private readonly bool _transformsFilters;

    public WinogradMultiplyStep(
        BlockSource block, WinogradLayout layout, WinogradInputStep<TVector, TLanes> input, MapLayout output, BufferId target,
        bool relu, NativeArena weights)
    {
        Block = block.Shape;
        _layout = layout;
        _input = input;
        _output = output;
        _target = target;
        _relu = relu;
        _transformsFilters = !layout.PrefersTransformedFilters(block.Shape);
        Filters = new FilterPanels(block, TLanes.Width, TLanes.Width, _transformsFilters ? FilterOrder.WinogradRows : FilterOrder.WinogradPoints, weights);
        TilesOffset = SumsOffset + layout.LargestSumsFloats(Panels.MaximumVectors * TLanes.Width);
        ScratchFloats = TilesOffset + layout.LargestChunkFloats;
    }

    public override BlockSpec Block { get; }

    /// <summary>The layer's filters.</summary>
    public FilterPanels Filters { get; }

    /// <summary>Floats of scratch for one worker: transformed filters, sums, a fused chunk's tiles.</summary>
    public long ScratchFloats { get; }

    private long TilesOffset { get; }

    private static long SumsOffset => WinogradAxis.Slots * WinogradFilter.SlotPitch(Panels.MaximumVectors * TLanes.Width);

    public override int CountItems(int images) => _layout.Chunks(images) * (_layout.IsFused(images) ? 1 : Filters.Count);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(Workspace workspace, int item, int worker)
    {
        int images = workspace.Images;
        nint* offsets = stackalloc nint[WinogradChunk.Slots], blockPitches = stackalloc nint[WinogradAxis.Slots];
        float* scratch = workspace.Scratch(worker);
        if (_layout.IsFused(images))
        {
            var chunk = _layout.Chunk(images, item);
            chunk.Lay(_layout.Blocks, TLanes.Width, offsets, blockPitches);
            float* tiles = scratch + TilesOffset;
            for (int image = chunk.FirstImage; image < chunk.FirstImage + chunk.Images; image++)
            {
                for (int row = chunk.FirstRow; row < chunk.LastRow; row++)
                    _input.TransformRow(workspace, chunk, image, row, tiles, offsets, blockPitches);
            }
            for (int index = 0; index < Filters.Count; index++)
                RunPanel(workspace, chunk, Filters[index], tiles, offsets, blockPitches, scratch);
        }
        else
        {
            (item, int index) = Math.DivRem(item, Filters.Count);
            var chunk = _layout.Chunk(images, item);
            chunk.Lay(_layout.Blocks, TLanes.Width, offsets, blockPitches);
            RunPanel(workspace, chunk, Filters[index], workspace[BufferId.Transformed] + item * _layout.ChunkFloats(images), offsets, blockPitches, scratch);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void RunPanel(
        Workspace workspace, in WinogradChunk chunk, in FilterPanel panel, float* tiles, nint* tileOffsets, nint* blockPitches, float* scratch)
    {
        int pitch = panel.Vectors * TLanes.Width;
        float* sums = scratch + SumsOffset, weights = Filters.Weights(panel);
        nint* sumOffsets = stackalloc nint[WinogradChunk.Slots], unused = stackalloc nint[WinogradAxis.Slots];
        chunk.Lay(1, pitch, sumOffsets, unused);
        nint rowFloats = (nint)(Filters.FloatsOf(panel) / WinogradAxis.Slots);
        for (int row = 0; row < WinogradAxis.Slots; row++, weights += rowFloats)
        {
            float* rowTiles = tiles + panel.FirstInputBlock * blockPitches[row];
            MultiplyRow(
                chunk, panel, row, weights, rowTiles, tileOffsets + row * WinogradAxis.Slots, blockPitches[row],
                sums, sumOffsets + row * WinogradAxis.Slots, scratch);
        }
        TransformBack(workspace, chunk, panel, sums, sumOffsets);
    }

    // The six slots of a row, for a few input channels at a time: so the transformed filters and the sums stay in the
    // first-level cache between their writing and their reading.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void MultiplyRow(
        in WinogradChunk chunk, in FilterPanel panel, int row, float* weights, float* tiles, nint* tileOffsets, nint blockPitch,
        float* sums, nint* sumOffsets, float* transformed)
    {
        int width = TLanes.Width, pitch = panel.Vectors * width, blocksTogether = _transformsFilters ? WinogradFilter.Depth / width : panel.InputBlocks;
        int* counts = stackalloc int[WinogradAxis.Slots];
        for (int column = 0; column < WinogradAxis.Slots; column++)
            counts[column] = chunk.Count(row, column);
        nint* segments = stackalloc nint[blocksTogether];
        for (int i = 0; i < blocksTogether; i++)
            segments[i] = i * blockPitch;
        nint filterPitch = _transformsFilters ? WinogradFilter.SlotPitch(pitch) : panel.InputBlocks * width * pitch;
        nint aheadFloats = _transformsFilters ? WinogradFilter.Depth * 3 * pitch / WinogradAxis.Slots : filterPitch;
        fixed (float* zeros = Zeros)
        {
            var arguments = new PanelArguments
            {
                RowPitch = width,
                Segments = segments,
                Depth = width,
                InitialVectorPitch = width,
                TargetPitch = pitch,
                TargetVectorPitch = width,
            };
            for (int block = 0; block < panel.InputBlocks; block += blocksTogether, tiles += blocksTogether * blockPitch)
            {
                int blocks = Math.Min(blocksTogether, panel.InputBlocks - block);
                float* ahead = weights + AheadFloats;
                if (_transformsFilters)
                {
                    if (Block.Stride == 1)
                        TransformFilters<One>(panel.Vectors, weights, blocks * width, transformed);
                    else
                        TransformFilters<Two>(panel.Vectors, weights, blocks * width, transformed);
                    weights += blocks * width * 3 * pitch;
                }
                else
                {
                    transformed = weights;
                }
                arguments.SegmentCount = blocks;
                for (int column = 0; column < WinogradAxis.Slots; column++, ahead += aheadFloats)
                {
                    Prefetch.Far(ahead, aheadFloats);
                    arguments.Rows = tiles + tileOffsets[column];
                    arguments.Panel = transformed + column * filterPitch;
                    arguments.Target = sums + sumOffsets[column];
                    arguments.Initial = block == 0 ? zeros : arguments.Target;
                    arguments.InitialPitch = block == 0 ? 0 : pitch;
                    Panels<TVector, TLanes>.Run(&arguments, panel.Vectors, counts[column]);
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TransformFilters<TStride>(int vectors, float* weights, int channels, float* target)
        where TStride : unmanaged, ICount
    {
        switch (vectors)
        {
            case 1:
                WinogradFilter<TVector, TLanes, TStride, One>.Transform(weights, channels, target);
                break;
            case 2:
                WinogradFilter<TVector, TLanes, TStride, Two>.Transform(weights, channels, target);
                break;
            default:
                WinogradFilter<TVector, TLanes, TStride, Three>.Transform(weights, channels, target);
                break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void TransformBack(Workspace workspace, in WinogradChunk chunk, in FilterPanel panel, float* sums, nint* offsets)
    {
        int width = TLanes.Width, pitch = panel.Vectors * width, columnTiles = _layout.Columns.Tiles;
        bool far = _output.IsFar(workspace.Images);
        float* map = workspace[_target] + panel.FirstBlock * _output.BlockPitch + _output.Origin;
        nint* addresses = stackalloc nint[WinogradChunk.Addresses];
        for (int image = chunk.FirstImage; image < chunk.FirstImage + chunk.Images; image++)
        {
            for (int row = chunk.FirstRow; row < chunk.LastRow; row++)
            {
                chunk.Locate(image, row, pitch, offsets, addresses);
                int rows = _layout.Rows.SizeOf(row);
                float* corner = map + image * _output.ImagePitch + (long)row * WinogradAxis.TileSize * _output.RowPitch;
                float* values = sums;
                for (int column = 0; column < columnTiles; column++, corner += WinogradAxis.TileSize * width)
                {
                    int columns = _layout.Columns.SizeOf(column);
                    for (int o = 0; o < panel.Vectors; o++)
                    {
                        float* from = values + o * width, bias = Filters.Bias(panel) + o * width, to = corner + o * _output.BlockPitch;
                        if (Block.Stride == 1)
                            WinogradOutput<TVector, TLanes, One>.Transform(from, addresses, pitch, bias, _relu, to, _output.RowPitch, rows, columns, far);
                        else
                            WinogradOutput<TVector, TLanes, Two>.Transform(from, addresses, pitch, bias, _relu, to, _output.RowPitch, rows, columns, far);
                    }
                    chunk.Advance(pitch, ref values, addresses);
                }
            }
        }
    }
}
