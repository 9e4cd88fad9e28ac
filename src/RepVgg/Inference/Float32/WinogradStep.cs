using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Float32.Kernels;
using RepVgg.Inference.Kernels;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;
using RepVgg.Runtime.Winograd;

namespace RepVgg.Inference.Float32;

/// <summary>
/// Winograd convolution, 3x3 with stride 1; bias and optional ReLU are fused. An item transforms the input tiles of its share of the output's rows of tiles,
/// multiplies them by the filters, and applies the output transform.
/// </summary>
/// <remarks>
/// The filters are stored with transformed columns and untransformed rows: 18 numbers per filter instead of 36, which
/// reduces memory traffic. The rows are transformed when a panel is multiplied.
/// </remarks>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal sealed unsafe class WinogradStep<TVector, TLanes> : ConvolutionStep
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    // Maximum number of tiles that are multiplied together. More tiles use a transformed filter more often; fewer tiles stay in the L2 cache.
    private const int MaximumTiles = 64;

    // Maximum number of input blocks that are multiplied together, so that their filters and the sums stay in the L1 cache.
    private const int MaximumBlocks = 4;

    private readonly MapLayout _input;
    private readonly MapLayout _output;
    private readonly BufferId _source;
    private readonly BufferId _target;
    private readonly bool _relu;
    private readonly TileAxis _rows;
    private readonly TileAxis _columns;
    private readonly int _rowsPerChunk;

    public WinogradStep(BlockSource block, MapLayout input, MapLayout output, BufferId source, BufferId target, bool relu, WeightArena weights)
        : base(block.Shape)
    {
        _input = input;
        _output = output;
        _source = source;
        _target = target;
        _relu = relu;
        _rows = new TileAxis(output.Height);
        _columns = new TileAxis(output.Width);
        _rowsPerChunk = Math.Max(1, MaximumTiles / _columns.Tiles);
        Filters = new FilterPanels(block, TLanes.Width, TLanes.Width, WinogradMicroKernels<TVector, TLanes>.PanelVectors, FilterOrder.WinogradRows, weights);
    }

    /// <summary>The layer's filters.</summary>
    public FilterPanels Filters { get; }

    /// <summary>Floats of workspace per worker: filter values, then sums, then the transformed tiles of a chunk.</summary>
    public long WorkspaceFloats => TilesOffset + ChunkFloats(_input.Blocks * TLanes.Width);

    private long TilesOffset => SumsOffset + ChunkFloats(SumsPitch);

    private static int SumsOffset => WinogradMicroKernels<TVector, TLanes>.FusesFilterTransform ? 0 : (WinogradTile.Points - 2) * ValuePitch(SumsPitch);

    // Floats from the filter values at one point to those at the next.
    private static int ValuePitch(int pitch) => MaximumBlocks * TLanes.Width * pitch + CacheLine.Floats;

    private static int SumsPitch => MicroKernels.MaximumVectors * TLanes.Width;

    // Floats of all values of a chunk, for a number of channels.
    private long ChunkFloats(int channels) => (long)_rowsPerChunk * _columns.Tiles * WinogradTile.AllPoints * channels;

    // The work of a row of tiles is that of its row points.
    protected override WorkShares Shares(StepContext context) => new(
        context.Images * _output.Parts, _rows.Tiles, WinogradTile.Points, _rows.SizeOf(_rows.Tiles - 1) + WinogradTile.Points - WinogradTile.Size, Filters.Count, context.Threads,
        byRows: !Filters.AreLargerThan(_input.Floats * context.Images));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void RunShare(StepContext context, WorkShare share, int worker)
    {
        nint* offsets = stackalloc nint[WinogradTile.AllPoints], partOffsets = stackalloc nint[WinogradTile.AllPoints], blockPitches = stackalloc nint[WinogradTile.Points];
        nint* sumOffsets = stackalloc nint[WinogradTile.AllPoints], unused = stackalloc nint[WinogradTile.Points];
        float* workspace = context.Workspace(worker), sums = workspace + SumsOffset, tiles = workspace + TilesOffset;
        var chunks = new Partition(share.EndRow - share.FirstRow, _rowsPerChunk);
        for (int i = 0; i < chunks.Count; i++)
        {
            var chunk = new TileChunk(_rows, _columns, share.FirstRow + chunks.First(i), share.FirstRow + chunks.First(i + 1));
            chunk.ComputeOffsets(_input.Blocks, TLanes.Width, offsets, blockPitches);
            for (int row = chunk.First; row < chunk.End; row++)
                TransformRow(context, chunk, row, tiles, offsets, blockPitches);
            // The rows that a panel has; most panels have all.
            var part = default(TileChunk);
            for (int panel = share.FirstPanel; panel < share.EndPanel; panel++)
            {
                var (first, end) = share.Rows(panel, chunk.First, chunk.End);
                if (first == end)
                    continue;
                if (first != part.First || end != part.End)
                {
                    part = chunk with { First = first, End = end };
                    chunk.ComputeTileOffsets(first, TLanes.Width, offsets, partOffsets);
                    part.ComputeOffsets(1, 1, sumOffsets, unused);
                }
                Multiply(part, Filters[panel], tiles, partOffsets, blockPitches, sums, sumOffsets, workspace);
                TransformOutput(context, part, Filters[panel], sums, sumOffsets);
            }
        }
    }

    /// <summary>Transforms all channels of a row of tiles.</summary>
    /// <param name="context">The images and their buffers.</param>
    /// <param name="chunk">The chunk that contains the row.</param>
    /// <param name="row">Index of the row of tiles.</param>
    /// <param name="target">Receives the transformed tiles; start of the chunk's values.</param>
    /// <param name="offsets">Offset of the values of each pair of points; see <see cref="TileChunk.ComputeOffsets"/>.</param>
    /// <param name="blockPitches">Floats from one channel block to the next, for each row point.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void TransformRow(StepContext context, in TileChunk chunk, int row, float* target, nint* offsets, nint* blockPitches)
    {
        int width = TLanes.Width;
        bool prefetches = _input.ExceedsL2Cache(context.Images);
        nint* first = stackalloc nint[WinogradTile.AllPoints], addresses = stackalloc nint[WinogradTile.AllPoints];
        chunk.ComputeTileOffsets(row, width, offsets, first);
        (int image, row) = Math.DivRem(row, _rows.Tiles);
        int rows = _rows.SizeOf(row), columnTiles = _columns.Tiles;
        float* block = context[_source] + image * _input.ImagePitch + (long)row * WinogradTile.Size * _input.RowPitch;
        for (int b = 0; b < _input.Blocks; b++, block += _input.BlockPitch)
        {
            for (int i = 0; i < WinogradTile.AllPoints; i++)
            {
                addresses[i] = first[i];
                first[i] += blockPitches[i / WinogradTile.Points];
            }
            float* corner = block, values = target;
            for (int column = 0; column < columnTiles; column++, corner += WinogradTile.Size * width, values += width)
                WinogradInputTransform<TVector, TLanes>.Transform(corner, _input.RowPitch, values, addresses, rows, _columns.SizeOf(column), prefetches);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Multiply(
        in TileChunk chunk, in FilterPanel panel, float* tiles, nint* tileOffsets, nint* blockPitches, float* sums, nint* sumOffsets, float* filterValues)
    {
        int width = TLanes.Width, pitch = panel.Vectors * width, count = 0;
        int passes = (panel.InputBlocks + MaximumBlocks - 1) / MaximumBlocks, blocksPerPass = (panel.InputBlocks + passes - 1) / passes;
        float* weights = Filters.Weights(panel);
        nint* segments = stackalloc nint[MaximumBlocks];
        var groups = default(PointRowGroups);
        fixed (float* zeros = MicroKernels.Zeros)
        {
            var arguments = new GemmArguments
            {
                RowPitch = width,
                Segments = segments,
                Depth = width,
                MiddleTap = width * pitch,
                InitialVectorPitch = width,
                TargetPitch = pitch,
                TargetVectorPitch = width,
            };
            for (int row = 0; row < WinogradTile.Points; row++)
            {
                nint blockPitch = blockPitches[row];
                for (int i = 0; i < blocksPerPass; i++)
                    segments[i] = i * blockPitch;
                if (chunk.Count(row, 0) != count)
                {
                    count = chunk.Count(row, 0);
                    groups = PointRowGroups.Divide<TVector, TLanes>(chunk, row, panel.Vectors);
                }
                // Multiplies a few input blocks at a time, so that their filters, which are used at several points, and the
                // sums stay in the L1 cache.
                float* blockTiles = tiles + panel.FirstInputBlock * blockPitch;
                nint* offsets = tileOffsets + row * WinogradTile.Points, targets = sumOffsets + row * WinogradTile.Points;
                for (int block = 0; block < panel.InputBlocks; block += blocksPerPass, blockTiles += blocksPerPass * blockPitch)
                {
                    arguments.SegmentCount = Math.Min(blocksPerPass, panel.InputBlocks - block);
                    arguments.InitialPitch = block == 0 ? 0 : pitch;
                    MultiplyPoints(ref groups, &arguments, weights, blockTiles, offsets, sums, targets, block == 0 ? zeros : null, filterValues);
                    weights += 3 * width * pitch * arguments.SegmentCount;
                }
            }
        }
    }

    // Multiplies at the six column points of one row point.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MultiplyPoints(
        ref PointRowGroups groups, GemmArguments* arguments, float* weights, float* tiles, nint* offsets, float* sums, nint* sumOffsets,
        float* zeros, float* filterValues)
    {
        int blocks = arguments->SegmentCount;
        nint pitch = arguments->TargetPitch, tap = arguments->MiddleTap, valuePitch = ValuePitch((int)pitch);
        bool pairs = WinogradMicroKernels<TVector, TLanes>.FusesFilterTransform;
        if (!pairs)
            TransformFilters(weights, tap, blocks, filterValues);
        // While these filters are multiplied, the filters that follow in memory are prefetched.
        float* prefetch = weights + 3 * tap * blocks;
        for (int point = 0; point < WinogradTile.Points; point++)
        {
            if (pairs && point > 2 && point % 2 == 1)
            {
                // The tiles that do not use the negative point; the arguments already point behind the tiles of the pair.
                groups[point].Run(arguments);
                continue;
            }
            nint share = tap * blocks / 2;
            arguments->Rows = tiles + offsets[point];
            arguments->Target = sums + sumOffsets[point] * pitch;
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
                arguments->NearTap = point == 2 ? 2 * tap : 0;
                arguments->FarTap = point == 2 ? 0 : 2 * tap;
                arguments->SecondPointRows = offsets[point + 1] - offsets[point];
                arguments->SecondPointTarget = (sumOffsets[point + 1] - sumOffsets[point]) * pitch;
            }
            else
            {
                arguments->Panel = filterValues + (point - 2) * valuePitch;
                arguments->PanelSkip = 0;
            }
            groups[point].SetPrefetch(arguments, prefetch, share);
            groups[point].Run(arguments);
            prefetch += share;
        }
    }

    /// <summary>Filter transform along the rows: computes the values at the points 1, -1, 2 and -2, [point][block][channel][vector][lane].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TransformFilters(float* weights, nint tap, int blocks, float* filterValues)
    {
        nint pitch = ValuePitch((int)tap / TLanes.Width);
        for (; blocks > 0; blocks--, weights += 2 * tap)
        {
            for (float* end = weights + tap; weights < end; weights += TLanes.Width, filterValues += TLanes.Width)
            {
                ToomCook<TVector, TLanes>.TransformFilter(
                    TLanes.Load(weights), TLanes.Load(weights + tap), TLanes.Load(weights + 2 * tap), filterValues, pitch);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void TransformOutput(StepContext context, in TileChunk chunk, in FilterPanel panel, float* sums, nint* sumOffsets)
    {
        int width = TLanes.Width, pitch = panel.Vectors * width, columnTiles = _columns.Tiles;
        bool prefetches = _output.ExceedsL2Cache(context.Images);
        float* map = context[_target] + panel.FirstBlock * _output.BlockPitch + _output.Origin;
        nint* offsets = stackalloc nint[WinogradTile.AllPoints], addresses = stackalloc nint[WinogradTile.AllPoints];
        for (int i = 0; i < WinogradTile.AllPoints; i++)
            offsets[i] = sumOffsets[i] * pitch;
        for (int tileRow = chunk.First; tileRow < chunk.End; tileRow++)
        {
            chunk.ComputeTileOffsets(tileRow, pitch, offsets, addresses);
            (int image, int row) = Math.DivRem(tileRow, _rows.Tiles);
            int rows = _rows.SizeOf(row);
            float* corner = map + image * _output.ImagePitch + (long)row * WinogradTile.Size * _output.RowPitch;
            float* values = sums;
            for (int column = 0; column < columnTiles; column++, corner += WinogradTile.Size * width, values += pitch)
            {
                int columns = _columns.SizeOf(column);
                for (int o = 0; o < panel.Vectors; o++)
                {
                    WinogradOutputTransform<TVector, TLanes>.Transform(
                        values + o * width, addresses, Filters.Bias(panel) + o * width, _relu, corner + o * _output.BlockPitch, _output.RowPitch,
                        rows, columns, prefetches);
                }
            }
        }
    }
}

/// <summary>
/// The row groups that multiply a chunk's tiles at the six column points of one row point. With
/// <see cref="WinogradMicroKernels{TVector, TLanes}.FusesFilterTransform"/>, entries 2 and 4 (counted from 0) multiply the tiles at a point and its
/// negative (1 and -1, or 2 and -2) together, and entries 3 and 5 multiply the tiles that do not use the negative point.
/// Otherwise there is one entry per point.
/// </summary>
[InlineArray(WinogradTile.Points)]
internal struct PointRowGroups
{
    private RowGroups _first;

    /// <summary>Divides the tiles of a chunk into row groups for each column point.</summary>
    /// <param name="chunk">The tiles.</param>
    /// <param name="row">Index of the row point, 0 to 5.</param>
    /// <param name="vectors">Vectors of output channels, 1 to 3.</param>
    /// <typeparam name="TVector">The vector type.</typeparam>
    /// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static PointRowGroups Divide<TVector, TLanes>(in TileChunk chunk, int row, int vectors)
        where TVector : struct
        where TLanes : struct, ILanes<TVector>
    {
        var groups = default(PointRowGroups);
        bool pairs = WinogradMicroKernels<TVector, TLanes>.FusesFilterTransform;
        for (int point = 0; point < WinogradTile.Points; point++)
        {
            int count = chunk.Count(row, point);
            groups[point] = point < 2 || !pairs ? MicroKernels<TVector, TLanes>.Divide(vectors, count)
                : point % 2 == 0 ? WinogradMicroKernels<TVector, TLanes>.Divide(2, vectors, chunk.Count(row, point + 1))
                : WinogradMicroKernels<TVector, TLanes>.Divide(1, vectors, chunk.Count(row, point - 1) - count);
        }
        return groups;
    }
}
