using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Layers;

/// <summary>
/// Winograd convolution, 3x3 with stride 1: multiplies a chunk of transformed input tiles by the filters, and applies the
/// output transform with bias and optional ReLU.
/// </summary>
/// <remarks>
/// The filters are stored with transformed columns and untransformed rows: 18 numbers per filter instead of 36, which
/// reduces memory traffic. The rows are transformed when a panel is multiplied.
/// </remarks>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal sealed unsafe class WinogradMultiplyStep<TVector, TLanes> : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    // Maximum number of input blocks that are multiplied together, so that their filters and the sums stay in the L1 cache.
    private const int MostBlocks = 4;

    // A panel can be cut into pieces along the row points, so that several threads multiply it. Number of row points in one
    // piece, and number of pieces.
    private const int RowsOfCut = 2;
    private const int Cuts = WinogradAxis.Points / RowsOfCut;

    // Minimum work for which panels are cut: floats of a panel's weights times tiles of an image.
    private const long MinimumWorkOfCutPanels = 1_500_000;

    private readonly WinogradLayout _layout;
    private readonly WinogradInputStep<TVector, TLanes> _input;
    private readonly MapLayout _output;
    private readonly BufferId _target;
    private readonly bool _relu;

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
        TilesOffset = SumsOffset + layout.LargestSumsFloats(SumsPitch);
        ScratchFloats = TilesOffset + layout.LargestChunkFloats;
    }

    public override BlockSpec Block { get; }

    private FilterPanels Filters { get; }

    /// <summary>Floats of scratch memory per worker: filter values, then sums, then the transformed tiles of a chunk.</summary>
    public long ScratchFloats { get; }

    /// <summary>Floats to reserve per image for sums that several threads compute together; sufficient for any number of images.</summary>
    /// <param name="threads">Maximum number of threads.</param>
    /// <param name="counterFloats">Floats to reserve per image for the counters of finished pieces.</param>
    /// <returns>The number of floats; 0 if no panel is cut.</returns>
    public long SharedSumsFloats(int threads, out long counterFloats)
    {
        var chunks = new WinogradChunks(_layout, 1, threads);
        bool shares = !chunks.AreFused && !chunks.AreTransformedByAll;
        // The factor 2 is needed because the last chunk can be smaller, but every chunk reserves the size of the first one.
        long places = shares ? 2L * (Filters.Count - WholePanels(chunks)) * chunks.Count : 0;
        counterFloats = places * CacheLine.Floats;
        return places * WinogradLayout.FloatsOf(chunks[0], 1, SumsPitch);
    }

    private long TilesOffset { get; }

    private static int SumsOffset => Panels<TVector, TLanes>.MakePoints ? 0 : (WinogradAxis.Points - 2) * ValuePitch(SumsPitch);

    // Floats from the filter values at one point to those at the next.
    private static int ValuePitch(int pitch) => MostBlocks * TLanes.Width * pitch + CacheLine.Floats;

    private static int SumsPitch => Panels.MaximumVectors * TLanes.Width;

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
            // Consecutive items belong to different panels, so that a thread is likely to continue with the panel of its
            // previous item.
            (int cut, int index) = Math.DivRem(item - whole, Filters.Count - whole);
            int place = index * chunks.Count + number;
            index += whole;
            sums = window[BufferId.Sums] + place * WinogradLayout.FloatsOf(chunks[0], 1, SumsPitch);
            MultiplyRows(chunk, Filters[index], cut * RowsOfCut, (cut + 1) * RowsOfCut, tiles, offsets, blockPitches, sums, places, scratch);
            ref int done = ref ((int*)window[BufferId.Counters])[place * CacheLine.Floats];
            if (Interlocked.Increment(ref done) == Cuts)
            {
                done = 0;
                TransformBack(window, chunk, Filters[index], sums, places);
            }
        }
    }

    // Number of panels that are not cut. If there is enough work, the last panels are cut along their row points, so that the
    // threads finish at about the same time.
    private int WholePanels(in WinogradChunks chunks) =>
        (long)_layout.ImageTiles * Filters.FloatsOf(Filters[0]) < MinimumWorkOfCutPanels ? Filters.Count : Math.Max(0, Filters.Count - chunks.Threads);

    private int ItemsOf(int wholePanels) => wholePanels + Cuts * (Filters.Count - wholePanels);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void MultiplyRows(
        in WinogradChunk chunk, in FilterPanel panel, int first, int last, float* tiles, nint* tileOffsets, nint* blockPitches,
        float* sums, nint* places, float* values)
    {
        int width = TLanes.Width, pitch = panel.Vectors * width, count = 0;
        int slabs = (panel.InputBlocks + MostBlocks - 1) / MostBlocks, together = (panel.InputBlocks + slabs - 1) / slabs;
        float* weights = Filters.Weights(panel) + (nint)(Filters.FloatsOf(panel) / WinogradAxis.Points) * first;
        nint* segments = stackalloc nint[MostBlocks];
        var groups = default(PointGroups);
        fixed (float* zeros = Panels.Zeros)
        {
            var arguments = new PanelArguments
            {
                RowPitch = width,
                Segments = segments,
                Depth = width,
                Middle = width * pitch,
                InitialVectorPitch = width,
                TargetPitch = pitch,
                TargetVectorPitch = width,
            };
            for (int row = first; row < last; row++)
            {
                nint blockPitch = blockPitches[row];
                for (int i = 0; i < together; i++)
                    segments[i] = i * blockPitch;
                if (chunk.Count(row, 0) != count)
                {
                    count = chunk.Count(row, 0);
                    groups = PointGroups.Cut<TVector, TLanes>(chunk, row, panel.Vectors);
                }
                // Multiplies a few input blocks at a time, so that their filters, which are used at several points, and the
                // sums stay in the L1 cache.
                float* blockTiles = tiles + panel.FirstInputBlock * blockPitch;
                nint* offsets = tileOffsets + row * WinogradAxis.Points, targets = places + row * WinogradAxis.Points;
                for (int block = 0; block < panel.InputBlocks; block += together, blockTiles += together * blockPitch)
                {
                    arguments.SegmentCount = Math.Min(together, panel.InputBlocks - block);
                    arguments.InitialPitch = block == 0 ? 0 : pitch;
                    MultiplyPoints(ref groups, &arguments, weights, blockTiles, offsets, sums, targets, block == 0 ? zeros : null, values);
                    weights += 3 * width * pitch * arguments.SegmentCount;
                }
            }
        }
    }

    // Multiplies at the six column points of one row point.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MultiplyPoints(
        ref PointGroups groups, PanelArguments* arguments, float* weights, float* tiles, nint* offsets, float* sums, nint* places,
        float* zeros, float* values)
    {
        int blocks = arguments->SegmentCount;
        nint pitch = arguments->TargetPitch, tap = arguments->Middle, valuePitch = ValuePitch((int)pitch);
        bool pairs = Panels<TVector, TLanes>.MakePoints;
        if (!pairs)
            MakeValues(weights, tap, blocks, values);
        // While these filters are multiplied, the filters that follow in memory are prefetched.
        float* ahead = weights + 3 * tap * blocks;
        for (int point = 0; point < WinogradAxis.Points; point++)
        {
            if (pairs && point > 2 && point % 2 == 1)
            {
                // The tiles that do not use the negative point; the arguments already point behind the tiles of the pair.
                groups[point].Run(arguments);
                continue;
            }
            nint share = tap * blocks / 2;
            arguments->Rows = tiles + offsets[point];
            arguments->Target = sums + places[point] * pitch;
            arguments->Initial = zeros == null ? arguments->Target : zeros;
            arguments->PanelSkip = 2 * tap;
            if (point < 2)
            {
                // At the points 0 and infinity the filter's values are its first and its last tap.
                arguments->Panel = weights + 2 * point * tap;
            }
            else if (pairs)
            {
                share *= 2;
                arguments->Panel = weights;
                arguments->Near = point == 2 ? 2 * tap : 0;
                arguments->Far = point == 2 ? 0 : 2 * tap;
                arguments->PairRows = offsets[point + 1] - offsets[point];
                arguments->PairTarget = (places[point + 1] - places[point]) * pitch;
            }
            else
            {
                arguments->Panel = values + (point - 2) * valuePitch;
                arguments->PanelSkip = 0;
            }
            groups[point].LookAhead(arguments, ahead, share);
            groups[point].Run(arguments);
            ahead += share;
        }
    }

    /// <summary>
    /// Filter transform along the rows: computes the values at the points 1, -1, 2 and -2 from the taps h (halved), b and c
    /// as c + 2 h + b, c + 2 h - b, h + 2 c + b and h + 2 c - b.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MakeValues(float* weights, nint tap, int blocks, float* values)
    {
        nint pitch = ValuePitch((int)tap / TLanes.Width);
        for (; blocks > 0; blocks--, weights += 2 * tap)
        {
            for (float* end = weights + tap; weights < end; weights += TLanes.Width, values += TLanes.Width)
            {
                TVector half = TLanes.Load(weights), middle = TLanes.Load(weights + tap), last = TLanes.Load(weights + 2 * tap);
                TVector ones = TLanes.Add(TLanes.Add(half, half), last), twos = TLanes.Add(TLanes.Add(last, last), half);
                TLanes.Store(values, TLanes.Add(ones, middle));
                TLanes.Store(values + pitch, TLanes.Subtract(ones, middle));
                TLanes.Store(values + 2 * pitch, TLanes.Add(twos, middle));
                TLanes.Store(values + 3 * pitch, TLanes.Subtract(twos, middle));
            }
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
