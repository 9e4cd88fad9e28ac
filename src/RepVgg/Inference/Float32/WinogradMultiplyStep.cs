using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Float32.Kernels;
using RepVgg.Runtime.Simd;
using RepVgg.Runtime.Winograd;

namespace RepVgg.Inference.Float32;

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
internal sealed unsafe class WinogradMultiplyStep<TVector, TLanes> : ConvolutionStep
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    // Maximum number of input blocks that are multiplied together, so that their filters and the sums stay in the L1 cache.
    private const int MaximumBlocks = 4;

    // A panel can be split into pieces along the row points, so that several threads multiply it. Number of row points in one
    // piece, and number of pieces.
    private const int PieceRows = 2;
    private const int PiecesPerPanel = WinogradTile.Points / PieceRows;

    // Minimum work for which panels are split: floats of a panel's weights times tiles of an image.
    private const long MinimumWorkOfSplitPanels = 1_500_000;

    private readonly WinogradTiling _tiling;
    private readonly WinogradInputStep<TVector, TLanes> _input;
    private readonly MapLayout _output;
    private readonly BufferId _target;
    private readonly bool _relu;

    public WinogradMultiplyStep(
        BlockSpec block, FilterPanels filters, WinogradTiling tiling, WinogradInputStep<TVector, TLanes> input, MapLayout output,
        BufferId target, bool relu)
        : base(block)
    {
        Filters = filters;
        _tiling = tiling;
        _input = input;
        _output = output;
        _target = target;
        _relu = relu;
        TilesOffset = SumsOffset + tiling.LargestSumsFloats(SumsPitch);
        WorkspaceFloats = TilesOffset + tiling.LargestChunkFloats;
    }

    private FilterPanels Filters { get; }

    /// <summary>Floats of workspace per worker: filter values, then sums, then the transformed tiles of a chunk.</summary>
    public long WorkspaceFloats { get; }

    /// <summary>Floats to reserve per image for sums that several threads compute together; sufficient for any number of images.</summary>
    /// <param name="threads">Maximum number of threads.</param>
    /// <param name="counterFloats">Floats to reserve per image for the counters of finished pieces.</param>
    /// <returns>The number of floats; 0 if no panel is split.</returns>
    public long SharedSumsFloats(int threads, out long counterFloats)
    {
        var chunks = new TileChunks(_tiling, 1, threads);
        bool isShared = !chunks.AreFused && !chunks.AreTransformedPerThread;
        // The factor 2 is needed because the last chunk can be smaller, but every chunk reserves the size of the first one.
        long splitSums = isShared ? 2L * (Filters.Count - WholePanels(chunks)) * chunks.Count : 0;
        counterFloats = splitSums * CacheLine.Floats;
        return splitSums * WinogradTiling.FloatsOf(chunks[0], 1, SumsPitch);
    }

    private long TilesOffset { get; }

    private static int SumsOffset => MicroKernels<TVector, TLanes>.FusesFilterTransform ? 0 : (WinogradTile.Points - 2) * ValuePitch(SumsPitch);

    // Floats from the filter values at one point to those at the next.
    private static int ValuePitch(int pitch) => MaximumBlocks * TLanes.Width * pitch + CacheLine.Floats;

    private static int SumsPitch => MicroKernels.MaximumVectors * TLanes.Width;

    public override int CountItems(StepContext context)
    {
        var chunks = _tiling.Divide(context);
        return chunks.Count * (chunks.AreFused ? 1 : chunks.AreTransformedPerThread ? context.Threads : ItemsOf(WholePanels(chunks)));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        var chunks = _tiling.Divide(context);
        nint* offsets = stackalloc nint[WinogradTile.AllPoints], blockPitches = stackalloc nint[WinogradTile.Points];
        nint* sumOffsets = stackalloc nint[WinogradTile.AllPoints], unused = stackalloc nint[WinogradTile.Points];
        float* workspace = context.Workspace(worker), sums = workspace + SumsOffset;
        bool fused = chunks.AreFused;
        if (fused || chunks.AreTransformedPerThread)
        {
            (item, int part) = fused ? (item, 0) : Math.DivRem(item, context.Threads);
            int panels = fused ? Filters.Count : Filters.Count / context.Threads;
            var chunk = chunks[item];
            chunk.ComputeOffsets(_tiling.Blocks, TLanes.Width, offsets, blockPitches);
            chunk.ComputeOffsets(1, 1, sumOffsets, unused);
            float* tiles = workspace + TilesOffset;
            for (int image = chunk.FirstImage; image < chunk.FirstImage + chunk.Images; image++)
            {
                for (int row = chunk.FirstRow; row < chunk.LastRow; row++)
                    _input.TransformRow(context, chunk, image, row, tiles, offsets, blockPitches);
            }
            for (int index = part * panels; index < (part + 1) * panels; index++)
            {
                MultiplyRows(chunk, Filters[index], 0, WinogradTile.Points, tiles, offsets, blockPitches, sums, sumOffsets, workspace);
                TransformOutput(context, chunk, Filters[index], sums, sumOffsets);
            }
        }
        else
        {
            int wholePanels = WholePanels(chunks);
            (int chunkIndex, item) = Math.DivRem(item, ItemsOf(wholePanels));
            var chunk = chunks[chunkIndex];
            chunk.ComputeOffsets(_tiling.Blocks, TLanes.Width, offsets, blockPitches);
            chunk.ComputeOffsets(1, 1, sumOffsets, unused);
            float* tiles = context[BufferId.TransformedTiles] + chunkIndex * chunks.ChunkFloats;
            if (item < wholePanels)
            {
                MultiplyRows(chunk, Filters[item], 0, WinogradTile.Points, tiles, offsets, blockPitches, sums, sumOffsets, workspace);
                TransformOutput(context, chunk, Filters[item], sums, sumOffsets);
                return;
            }
            // Consecutive items belong to different panels, so that a thread is likely to continue with the panel of its
            // previous item.
            (int piece, int index) = Math.DivRem(item - wholePanels, Filters.Count - wholePanels);
            int splitIndex = index * chunks.Count + chunkIndex;
            index += wholePanels;
            sums = context[BufferId.SharedSums] + splitIndex * WinogradTiling.FloatsOf(chunks[0], 1, SumsPitch);
            MultiplyRows(chunk, Filters[index], piece * PieceRows, (piece + 1) * PieceRows, tiles, offsets, blockPitches, sums, sumOffsets, workspace);
            ref int completed = ref ((int*)context[BufferId.Counters])[splitIndex * CacheLine.Floats];
            if (Interlocked.Increment(ref completed) == PiecesPerPanel)
            {
                completed = 0;
                TransformOutput(context, chunk, Filters[index], sums, sumOffsets);
            }
        }
    }

    // Number of panels that are not split. If there is enough work, the last panels are split along their row points, so that
    // the threads finish at about the same time.
    private int WholePanels(in TileChunks chunks) =>
        (long)_tiling.ImageTiles * Filters.FloatsOf(Filters[0]) < MinimumWorkOfSplitPanels ? Filters.Count : Math.Max(0, Filters.Count - chunks.Threads);

    private int ItemsOf(int wholePanels) => wholePanels + PiecesPerPanel * (Filters.Count - wholePanels);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void MultiplyRows(
        in TileChunk chunk, in FilterPanel panel, int first, int last, float* tiles, nint* tileOffsets, nint* blockPitches,
        float* sums, nint* sumOffsets, float* filterValues)
    {
        int width = TLanes.Width, pitch = panel.Vectors * width, count = 0;
        int passes = (panel.InputBlocks + MaximumBlocks - 1) / MaximumBlocks, blocksPerPass = (panel.InputBlocks + passes - 1) / passes;
        float* weights = Filters.Weights(panel) + (nint)(Filters.FloatsOf(panel) / WinogradTile.Points) * first;
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
            for (int row = first; row < last; row++)
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
        bool pairs = MicroKernels<TVector, TLanes>.FusesFilterTransform;
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
        int width = TLanes.Width, pitch = panel.Vectors * width, columnTiles = _tiling.Columns.Tiles;
        bool prefetches = _output.ExceedsL2Cache(context.Images);
        float* map = context[_target] + panel.FirstBlock * _output.BlockPitch + _output.Origin;
        nint* offsets = stackalloc nint[WinogradTile.AllPoints], addresses = stackalloc nint[WinogradTile.AllPoints];
        for (int i = 0; i < WinogradTile.AllPoints; i++)
            offsets[i] = sumOffsets[i] * pitch;
        for (int image = chunk.FirstImage; image < chunk.FirstImage + chunk.Images; image++)
        {
            for (int row = chunk.FirstRow; row < chunk.LastRow; row++)
            {
                chunk.ComputeTileOffsets(image, row, pitch, offsets, addresses);
                int rows = _tiling.Rows.SizeOf(row);
                float* corner = map + image * _output.ImagePitch + (long)row * WinogradTile.Size * _output.RowPitch;
                float* values = sums;
                for (int column = 0; column < columnTiles; column++, corner += WinogradTile.Size * width, values += pitch)
                {
                    int columns = _tiling.Columns.SizeOf(column);
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
}

/// <summary>
/// The row groups that multiply a chunk's tiles at the six column points of one row point. With
/// <see cref="MicroKernels{TVector, TLanes}.FusesFilterTransform"/>, entries 2 and 4 (counted from 0) multiply the tiles at a point and its
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
        bool pairs = MicroKernels<TVector, TLanes>.FusesFilterTransform;
        for (int point = 0; point < WinogradTile.Points; point++)
        {
            int count = chunk.Count(row, point);
            groups[point] = point < 2 || !pairs ? MicroKernels<TVector, TLanes>.Divide(vectors, count)
                : point % 2 == 0 ? MicroKernels<TVector, TLanes>.DivideForPoints(2, vectors, chunk.Count(row, point + 1))
                : MicroKernels<TVector, TLanes>.DivideForPoints(1, vectors, chunk.Count(row, point - 1) - count);
        }
        return groups;
    }
}
