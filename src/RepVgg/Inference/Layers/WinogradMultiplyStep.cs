using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Networks;
using RepVgg.Simd;

namespace RepVgg.Inference.Layers;

/// <summary>
/// 3x3 convolution of stride 1 in Winograd's domain: transforms filters, multiplies them with a chunk of transformed tiles, and
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

    private static long SumsOffset => (WinogradAxis.Points - 2) * WinogradFilter.PointPitch(Panels.MaximumVectors * TLanes.Width);

    public override int CountItems(Window window)
    {
        var chunks = _layout.Cut(window);
        return chunks.Count * (chunks.AreFused ? 1 : Filters.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(Window window, int item, int worker)
    {
        var chunks = _layout.Cut(window);
        nint* offsets = stackalloc nint[WinogradChunk.Points], blockPitches = stackalloc nint[WinogradAxis.Points];
        float* scratch = window.Scratch(worker);
        if (chunks.AreFused)
        {
            var chunk = chunks[item];
            chunk.Lay(_layout.Blocks, TLanes.Width, offsets, blockPitches);
            float* tiles = scratch + TilesOffset;
            for (int image = chunk.FirstImage; image < chunk.FirstImage + chunk.Images; image++)
            {
                for (int row = chunk.FirstRow; row < chunk.LastRow; row++)
                    _input.TransformRow(window, chunk, image, row, tiles, offsets, blockPitches);
            }
            for (int index = 0; index < Filters.Count; index++)
                RunPanel(window, chunk, Filters[index], tiles, offsets, blockPitches, scratch);
        }
        else
        {
            (item, int index) = Math.DivRem(item, Filters.Count);
            var chunk = chunks[item];
            chunk.Lay(_layout.Blocks, TLanes.Width, offsets, blockPitches);
            RunPanel(window, chunk, Filters[index], window[BufferId.Transformed] + item * chunks.ChunkFloats, offsets, blockPitches, scratch);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void RunPanel(
        Window window, in WinogradChunk chunk, in FilterPanel panel, float* tiles, nint* tileOffsets, nint* blockPitches, float* scratch)
    {
        int pitch = panel.Vectors * TLanes.Width;
        float* sums = scratch + SumsOffset, weights = Filters.Weights(panel);
        nint* sumOffsets = stackalloc nint[WinogradChunk.Points], unused = stackalloc nint[WinogradAxis.Points];
        chunk.Lay(1, pitch, sumOffsets, unused);
        nint rowFloats = (nint)(Filters.FloatsOf(panel) / WinogradAxis.Points);
        for (int row = 0; row < WinogradAxis.Points; row++, weights += rowFloats)
        {
            float* rowTiles = tiles + panel.FirstInputBlock * blockPitches[row];
            MultiplyRow(
                chunk, panel, row, weights, rowTiles, tileOffsets + row * WinogradAxis.Points, blockPitches[row],
                sums, sumOffsets + row * WinogradAxis.Points, scratch);
        }
        TransformBack(window, chunk, panel, sums, sumOffsets);
    }

    // The six points of a row, for a few input channels at a time: so the transformed filters and the sums stay in the
    // first-level cache between their writing and their reading.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void MultiplyRow(
        in WinogradChunk chunk, in FilterPanel panel, int row, float* weights, float* tiles, nint* tileOffsets, nint blockPitch,
        float* sums, nint* sumOffsets, float* transformed)
    {
        int width = TLanes.Width, pitch = panel.Vectors * width, blocksTogether = _transformsFilters ? WinogradFilter.Depth / width : panel.InputBlocks;
        int* counts = stackalloc int[WinogradAxis.Points];
        for (int column = 0; column < WinogradAxis.Points; column++)
            counts[column] = chunk.Count(row, column);
        nint* segments = stackalloc nint[blocksTogether];
        for (int i = 0; i < blocksTogether; i++)
            segments[i] = i * blockPitch;
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
                nint tap = blocks * width * pitch, floats = tap * (_transformsFilters ? 3 : WinogradAxis.Points), aheadFloats = floats / WinogradAxis.Points;
                if (_transformsFilters)
                    TransformFilters(panel.Vectors, weights, blocks * width, transformed);
                arguments.SegmentCount = blocks;
                for (int column = 0; column < WinogradAxis.Points; column++)
                {
                    arguments.Rows = tiles + tileOffsets[column];
                    arguments.Panel = !_transformsFilters ? weights + column * tap
                        : column < 2 ? weights + 2 * column * tap
                        : transformed + (column - 2) * WinogradFilter.PointPitch(pitch);
                    arguments.Target = sums + sumOffsets[column];
                    arguments.Initial = block == 0 ? zeros : arguments.Target;
                    arguments.InitialPitch = block == 0 ? 0 : pitch;
                    Panels<TVector, TLanes>.Run(&arguments, panel.Vectors, counts[column], weights + AheadFloats + column * aheadFloats, aheadFloats);
                }
                weights += floats;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TransformFilters(int vectors, float* weights, int channels, float* target)
    {
        switch (vectors)
        {
            case 1:
                WinogradFilter<TVector, TLanes, One>.Transform(weights, channels, target);
                break;
            case 2:
                WinogradFilter<TVector, TLanes, Two>.Transform(weights, channels, target);
                break;
            default:
                WinogradFilter<TVector, TLanes, Three>.Transform(weights, channels, target);
                break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void TransformBack(Window window, in WinogradChunk chunk, in FilterPanel panel, float* sums, nint* offsets)
    {
        int width = TLanes.Width, pitch = panel.Vectors * width, columnTiles = _layout.Columns.Tiles;
        bool far = _output.IsFar(window.Images);
        float* map = window[_target] + panel.FirstBlock * _output.BlockPitch + _output.Origin;
        nint* addresses = stackalloc nint[WinogradChunk.Points];
        for (int image = chunk.FirstImage; image < chunk.FirstImage + chunk.Images; image++)
        {
            for (int row = chunk.FirstRow; row < chunk.LastRow; row++)
            {
                chunk.Locate(image, row, pitch, offsets, addresses);
                int rows = _layout.Rows.SizeOf(row);
                float* corner = map + image * _output.ImagePitch + (long)row * WinogradAxis.TileSize * _output.RowPitch;
                float* values = sums;
                for (int column = 0; column < columnTiles; column++, corner += WinogradAxis.TileSize * width, values += pitch)
                {
                    int columns = _layout.Columns.SizeOf(column);
                    for (int o = 0; o < panel.Vectors; o++)
                    {
                        WinogradOutput<TVector, TLanes>.Transform(
                            values + o * width, addresses, Filters.Bias(panel) + o * width, _relu, corner + o * _output.BlockPitch, _output.RowPitch,
                            rows, columns, far);
                    }
                }
            }
        }
    }
}
