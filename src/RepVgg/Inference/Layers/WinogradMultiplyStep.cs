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

    // Rows of points in one piece of a panel that is cut.
    private const int RowsOfCut = 2;
    private const int Cuts = WinogradAxis.Points / RowsOfCut;

    // Floats of a panel times tiles: below, a panel is not worth cutting.
    private const long MinimumWorkOfCutPanels = 2_000_000;

    private readonly WinogradLayout _layout;
    private readonly WinogradInputStep<TVector, TLanes> _input;
    private readonly MapLayout _output;
    private readonly BufferId _target;
    private readonly bool _relu;
    private readonly bool _transformsFilters;

    public WinogradMultiplyStep(
        BlockSpec block, FilterPanels filters, WinogradLayout layout, WinogradInputStep<TVector, TLanes> input, MapLayout output,
        BufferId target, bool relu)
    {
        Block = block;
        Filters = filters;
        _layout = layout;
        _input = input;
        _output = output;
        _target = target;
        _relu = relu;
        _transformsFilters = filters.Order == FilterOrder.WinogradRows;
        TilesOffset = SumsOffset + layout.LargestSumsFloats(Panels.MaximumVectors * TLanes.Width);
        ScratchFloats = TilesOffset + layout.LargestChunkFloats;
    }

    public override BlockSpec Block { get; }

    private FilterPanels Filters { get; }

    /// <summary>Floats of scratch for one worker: transformed filters, sums, a fused chunk's tiles.</summary>
    public long ScratchFloats { get; }

    /// <summary>Room for one image's sums where several threads make them, whatever the batch.</summary>
    /// <param name="threads">How many threads.</param>
    /// <param name="counterFloats">Room for the counts of what is done of them.</param>
    /// <returns>Floats; 0 where no panel is cut.</returns>
    public long SharedSumsFloats(int threads, out long counterFloats)
    {
        var chunks = new WinogradChunks(_layout, 1, threads);
        bool shares = !chunks.AreFused && !chunks.AreTransformedByAll;
        // Twice, because the last chunk may be smaller than the others.
        long places = shares ? 2L * (Filters.Count - WholePanels(chunks)) * chunks.Count : 0;
        counterFloats = places * CacheLine.Floats;
        return places * WinogradLayout.FloatsOf(chunks[0], 1, Panels.MaximumVectors * TLanes.Width);
    }

    private long TilesOffset { get; }

    private static long SumsOffset => (WinogradAxis.Points - 2) * WinogradFilter.PointPitch(Panels.MaximumVectors * TLanes.Width);

    public override int CountItems(Window window)
    {
        var chunks = _layout.Cut(window);
        return chunks.Count * (chunks.AreFused ? 1 : chunks.AreTransformedByAll ? window.Threads : ItemsOf(WholePanels(chunks)));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(Window window, int item, int worker)
    {
        var chunks = _layout.Cut(window);
        nint* offsets = stackalloc nint[WinogradChunk.Points], blockPitches = stackalloc nint[WinogradAxis.Points];
        nint* places = stackalloc nint[WinogradChunk.Points], unused = stackalloc nint[WinogradAxis.Points];
        float* scratch = window.Scratch(worker), sums = scratch + SumsOffset;
        bool fused = chunks.AreFused;
        if (fused || chunks.AreTransformedByAll)
        {
            (item, int part) = fused ? (item, 0) : Math.DivRem(item, window.Threads);
            int panels = fused ? Filters.Count : Filters.Count / window.Threads;
            var chunk = chunks[item];
            chunk.Lay(_layout.Blocks, TLanes.Width, offsets, blockPitches);
            chunk.Lay(1, 1, places, unused);
            float* tiles = scratch + TilesOffset;
            for (int image = chunk.FirstImage; image < chunk.FirstImage + chunk.Images; image++)
            {
                for (int row = chunk.FirstRow; row < chunk.LastRow; row++)
                    _input.TransformRow(window, chunk, image, row, tiles, offsets, blockPitches);
            }
            for (int index = part * panels; index < (part + 1) * panels; index++)
            {
                MultiplyRows(chunk, Filters[index], 0, WinogradAxis.Points, tiles, offsets, blockPitches, sums, places, scratch);
                TransformBack(window, chunk, Filters[index], sums, places);
            }
        }
        else
        {
            int whole = WholePanels(chunks);
            (int number, item) = Math.DivRem(item, ItemsOf(whole));
            var chunk = chunks[number];
            chunk.Lay(_layout.Blocks, TLanes.Width, offsets, blockPitches);
            chunk.Lay(1, 1, places, unused);
            float* tiles = window[BufferId.Transformed] + number * chunks.ChunkFloats;
            if (item < whole)
            {
                MultiplyRows(chunk, Filters[item], 0, WinogradAxis.Points, tiles, offsets, blockPitches, sums, places, scratch);
                TransformBack(window, chunk, Filters[item], sums, places);
                return;
            }
            // Neighbouring items belong to different panels: so a thread mostly goes on in the filters that it has begun.
            (int cut, int index) = Math.DivRem(item - whole, Filters.Count - whole);
            int place = index * chunks.Count + number;
            index += whole;
            sums = window[BufferId.Sums] + place * WinogradLayout.FloatsOf(chunks[0], 1, Panels.MaximumVectors * TLanes.Width);
            MultiplyRows(chunk, Filters[index], cut * RowsOfCut, (cut + 1) * RowsOfCut, tiles, offsets, blockPitches, sums, places, scratch);
            ref int done = ref ((int*)window[BufferId.Counters])[place * CacheLine.Floats];
            if (Interlocked.Increment(ref done) == Cuts)
            {
                done = 0;
                TransformBack(window, chunk, Filters[index], sums, places);
            }
        }
    }

    // Where threads share few panels, the last of them are cut by their rows of points, for the threads to end together.
    private int WholePanels(in WinogradChunks chunks) =>
        (long)_layout.ImageTiles * Filters.FloatsOf(Filters[0]) < MinimumWorkOfCutPanels ? Filters.Count : Math.Max(0, Filters.Count - chunks.Threads);

    private int ItemsOf(int wholePanels) => wholePanels + Cuts * (Filters.Count - wholePanels);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void MultiplyRows(
        in WinogradChunk chunk, in FilterPanel panel, int first, int last, float* tiles, nint* tileOffsets, nint* blockPitches,
        float* sums, nint* places, float* transformed)
    {
        nint rowFloats = (nint)(Filters.FloatsOf(panel) / WinogradAxis.Points);
        for (int row = first; row < last; row++)
        {
            MultiplyRow(
                chunk, panel, row, Filters.Weights(panel) + row * rowFloats, tiles + panel.FirstInputBlock * blockPitches[row],
                tileOffsets + row * WinogradAxis.Points, blockPitches[row], sums, places + row * WinogradAxis.Points, transformed);
        }
    }

    // The six points of a row, for a few input channels at a time: so the transformed filters and the sums stay in the
    // first-level cache between their writing and their reading.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void MultiplyRow(
        in WinogradChunk chunk, in FilterPanel panel, int row, float* weights, float* tiles, nint* tileOffsets, nint blockPitch,
        float* sums, nint* places, float* transformed)
    {
        int width = TLanes.Width, pitch = panel.Vectors * width, blocksTogether = _transformsFilters ? WinogradFilter.Depth / width : panel.InputBlocks;
        // The last points of a row may have fewer tiles, for want of a whole tile at the edge.
        int most = chunk.Count(row, 0), least = chunk.Count(row, WinogradAxis.Points - 1), full = WinogradAxis.Points;
        while (chunk.Count(row, full - 1) < most)
            full--;
        var groups = Panels<TVector, TLanes>.Cut(panel.Vectors, most);
        var lastGroups = full == WinogradAxis.Points ? default : Panels<TVector, TLanes>.Cut(panel.Vectors, least);
        // Of what is read at a time, a point's share.
        nint aheadFloats = blocksTogether * width * pitch * (_transformsFilters ? 3 : WinogradAxis.Points) / WinogradAxis.Points;
        nint aheadStep = groups.AheadStep(aheadFloats, blocksTogether);
        nint* segments = stackalloc nint[blocksTogether];
        for (int i = 0; i < blocksTogether; i++)
            segments[i] = i * blockPitch;
        fixed (float* zeros = Panels.Zeros)
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
                nint tap = blocks * width * pitch;
                if (_transformsFilters)
                    TransformFilters(panel.Vectors, weights, blocks * width, transformed);
                arguments.SegmentCount = blocks;
                for (int column = 0; column < WinogradAxis.Points; column++)
                {
                    arguments.Rows = tiles + tileOffsets[column];
                    arguments.Panel = !_transformsFilters ? weights + column * tap
                        : column < 2 ? weights + 2 * column * tap
                        : transformed + (column - 2) * WinogradFilter.PointPitch(pitch);
                    arguments.Target = sums + places[column] * pitch;
                    arguments.Initial = block == 0 ? zeros : arguments.Target;
                    arguments.InitialPitch = block == 0 ? 0 : pitch;
                    arguments.LookAhead(weights + AheadFloats + column * aheadFloats, aheadStep);
                    if (column < full)
                        groups.Run(&arguments);
                    else
                        lastGroups.Run(&arguments);
                }
                weights += tap * (_transformsFilters ? 3 : WinogradAxis.Points);
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
    private void TransformBack(Window window, in WinogradChunk chunk, in FilterPanel panel, float* sums, nint* places)
    {
        int width = TLanes.Width, pitch = panel.Vectors * width, columnTiles = _layout.Columns.Tiles;
        bool far = _output.IsFar(window.Images);
        float* map = window[_target] + panel.FirstBlock * _output.BlockPitch + _output.Origin;
        nint* offsets = stackalloc nint[WinogradChunk.Points], addresses = stackalloc nint[WinogradChunk.Points];
        for (int i = 0; i < WinogradChunk.Points; i++)
            offsets[i] = places[i] * pitch;
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
