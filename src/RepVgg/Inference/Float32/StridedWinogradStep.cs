using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;
using RepVgg.Runtime.Winograd;

namespace RepVgg.Inference.Float32;

/// <summary>
/// 3x3 convolution of stride 2: one-dimensional Winograd along the columns and direct convolution along the rows; bias and
/// optional ReLU are fused.
/// </summary>
/// <remarks>
/// The outer rows of the filters (ky = 0 and 2) are applied only to every second row of the bordered input. On these rows
/// they are a convolution of stride 1 with two taps along the columns: four output rows need products at five points instead
/// of eight products. The middle row of the filters (ky = 1) is applied to the other input rows by direct convolution.
/// Compared with a transform along both axes, this reads the untransformed filters, which take half the memory, and the
/// filter's values at two of the five points are taps that need no transform.
/// </remarks>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal sealed unsafe class StridedWinogradStep<TVector, TLanes> : ConvolutionStep
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private const int Points = WinogradTile.PointsOfTwoTaps;

    // Maximum number of floats of transformed lines (of a few rows of tiles) that stay in the L2 cache together with the
    // filters.
    private const int MaximumLineFloats = 65_536;

    private readonly MapLayout _input;
    private readonly MapLayout _output;
    private readonly BufferId _source;
    private readonly BufferId _target;
    private readonly bool _relu;
    private readonly TileAxis _rows;
    private readonly int _rowsPerBand;

    public StridedWinogradStep(BlockSource block, MapLayout input, MapLayout output, BufferId source, BufferId target, bool relu, WeightArena weights)
        : base(block.Shape)
    {
        _input = input;
        _output = output;
        _source = source;
        _target = target;
        _relu = relu;
        _rows = new TileAxis(output.Height);
        _rowsPerBand = Math.Max(1, MaximumLineFloats / (Points * LineFloats));
        Filters = new FilterPanels(block, TLanes.Width, TLanes.Width, MicroKernels.MaximumVectors, FilterOrder.OuterRowsFirst, weights);
    }

    /// <summary>The layer's filters.</summary>
    public FilterPanels Filters { get; }

    /// <summary>Floats of workspace per worker: transformed filters, then sums, then transformed lines.</summary>
    public long WorkspaceFloats => LinesOffset + (long)Points * PointLines;

    // Floats of a transformed line at one point: for one channel block (BlockLine), for all channel blocks (LineFloats), and
    // for all rows of tiles that are multiplied together (PointLines).
    private int BlockLine => (2 * _output.Width + 1) * TLanes.Width;

    private int LineFloats => _input.Blocks * BlockLine;

    private nint PointLines => _rowsPerBand * (nint)LineFloats;

    // Floats of the sums at one point: for one row of tiles (SumFloats) and for all of them (PointSums).
    private int SumFloats => _output.Width * MicroKernels.MaximumVectors * TLanes.Width;

    private nint PointSums => _rowsPerBand * (nint)SumFloats;

    private static int SumsOffset => (Points - 2) * 3 * TLanes.Width * MicroKernels.MaximumVectors * TLanes.Width;

    private nint LinesOffset => SumsOffset + Points * PointSums;

    // The work of a row of tiles is that of its line multiplications.
    protected override WorkShares Shares(StepContext context) => new(
        context.Images, _rows.Tiles, MultiplicationsOf(0), MultiplicationsOf(_rows.Tiles - 1), Filters.Count, context.Threads,
        byRows: !Filters.AreLargerThan(_input.ImagePitch * context.Images));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void RunShare(StepContext context, WorkShare share, int worker)
    {
        float* workspace = context.Workspace(worker);
        nint* lineSegments = stackalloc nint[_input.Blocks], mapSegments = stackalloc nint[_input.Blocks];
        for (int block = 0; block < _input.Blocks; block++)
        {
            lineSegments[block] = block * (nint)BlockLine;
            mapSegments[block] = (nint)(block * _input.BlockPitch);
        }
        var bands = new Partition(share.EndRow - share.FirstRow, _rowsPerBand);
        for (int band = 0; band < bands.Count; band++)
        {
            int first = share.FirstRow + bands.First(band), last = share.FirstRow + bands.First(band + 1);
            for (int row = first; row < last; row++)
                TransformRow(context, row, workspace + LinesOffset + (nint)(row - first) * LineFloats);
            for (int index = share.FirstPanel; index < share.EndPanel; index++)
            {
                // The rows that the panel has; most panels have all.
                var (start, end) = share.Rows(index, first, last);
                if (start == end)
                    continue;
                var prefetcher = CreatePrefetcher(index, index + 1 < share.EndPanel ? Filters.Weights(Filters[index + 1]) : NextPanel(), start, end);
                MultiplyOuterRows(Filters[index], start, end, workspace + LinesOffset + (nint)(start - first) * LineFloats, workspace, lineSegments, ref prefetcher);
                for (int row = start; row < end; row++)
                    AddMiddleRows(context, Filters[index], row, workspace + SumsOffset + (nint)(row - start) * SumFloats, mapSegments, ref prefetcher);
            }

            // Weights of the panel that this worker uses next.
            float* NextPanel() => band + 1 < bands.Count || Filters.Next is not { } next ? Filters.Weights(Filters[share.FirstPanel]) : next.Weights(next[0]);
        }
    }

    // A panel's outer filter rows are read first, the middle row (the last third of the panel) later. The prefetch starts at
    // 3/5 of the panel: it covers the rest of this panel before the middle row is read, then the first part of the next panel.
    private FilterPrefetcher CreatePrefetcher(int index, float* next, int first, int last)
    {
        nint floats = (nint)Filters.FloatsOf(Filters[index]);
        int multiplications = 0;
        for (int row = first; row < last; row++)
            multiplications += MultiplicationsOf(row);
        float* weights = Filters.Weights(Filters[index]);
        return new FilterPrefetcher(weights + floats * 3 / 5, weights + floats, next, floats / multiplications);
    }

    // Number of line multiplications for a row of tiles: one per point (size + 1) and one per output row (size).
    private int MultiplicationsOf(int row) => 2 * _rows.SizeOf(row % _rows.Tiles) + 1;

    /// <summary>Input transform of a row of tiles: transforms every second input row of all channels, along the columns, to the points.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void TransformRow(StepContext context, int row, float* lines)
    {
        (int image, int tile) = Math.DivRem(row, _rows.Tiles);
        int samples = _rows.SizeOf(tile) + 1;
        nint* offsets = stackalloc nint[Points];
        for (int point = 0; point < Points; point++)
            offsets[point] = point * PointLines;
        float* block = context[_source] + image * _input.ImagePitch + _input.FirstTap(Block) + 2L * WinogradTile.Size * tile * _input.RowPitch;
        for (int b = 0; b < _input.Blocks; b++, block += _input.BlockPitch, lines += BlockLine)
        {
            for (int x = 0; x < BlockLine; x += TLanes.Width)
                ToomCook<TVector, TLanes>.TransformInput(Points, samples, block + x, 2 * _input.RowPitch, lines + x, offsets);
        }
    }

    /// <summary>Multiplies the transformed lines by the outer rows of a panel's filters.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void MultiplyOuterRows(
        in FilterPanel panel, int first, int last, float* lines, float* workspace, nint* segments, ref FilterPrefetcher prefetcher)
    {
        int width = TLanes.Width, pitch = panel.Vectors * width;
        nint blockTaps = 3 * width * pitch, rowTaps = panel.InputBlocks * blockTaps;
        float* taps = Filters.Weights(panel), sums = workspace + SumsOffset;
        lines += panel.FirstInputBlock * (nint)BlockLine;
        fixed (float* zeros = MicroKernels.Zeros)
        {
            var arguments = new GemmArguments
            {
                RowPitch = 2 * width,
                Segments = segments,
                SegmentCount = panel.InputBlocks,
                Depth = 3 * width,
                Initial = zeros,
                InitialVectorPitch = width,
                TargetPitch = pitch,
                TargetVectorPitch = width,
            };
            var groups = MicroKernels<TVector, TLanes>.Divide(panel.Vectors, _output.Width);
            // At the points 0 and infinity the filter's values are its first and its last tap.
            for (int point = 0; point < 2; point++)
            {
                for (int i = 0; i < last - first; i++)
                {
                    arguments.Rows = lines + point * PointLines + i * LineFloats;
                    arguments.Panel = taps + point * rowTaps;
                    arguments.Initial = zeros;
                    arguments.Target = sums + point * PointSums + i * SumFloats;
                    groups.SetPrefetch(&arguments, prefetcher.Advance(prefetcher.Rate), prefetcher.Rate);
                    groups.Run(&arguments);
                }
            }
            // The filter's values at the other points are computed for one input block at a time, so that they stay in the
            // L1 cache.
            arguments.SegmentCount = 1;
            nint rate = prefetcher.Rate / panel.InputBlocks;
            for (int block = 0; block < panel.InputBlocks; block++, taps += blockTaps, lines += BlockLine)
            {
                TransformFilters(taps, taps + rowTaps, blockTaps, workspace);
                for (int point = 2; point < Points; point++)
                {
                    arguments.InitialPitch = block == 0 ? 0 : pitch;
                    for (int i = 0; i < last - first; i++)
                    {
                        if (_rows.SizeOf((first + i) % _rows.Tiles) + 1 <= point)
                            continue;
                        arguments.Rows = lines + point * PointLines + i * LineFloats;
                        arguments.Panel = workspace + (point - 2) * blockTaps;
                        arguments.Target = sums + point * PointSums + i * SumFloats;
                        arguments.Initial = block == 0 ? zeros : arguments.Target;
                        groups.SetPrefetch(&arguments, prefetcher.Advance(rate), rate);
                        groups.Run(&arguments);
                    }
                }
            }
        }
    }

    /// <summary>Filter transform: the values at the points 1, -1 and 2 are g0 + g2, g0 - g2 and g0 + 2 g2, [point][float of the taps].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TransformFilters(float* firstTaps, float* lastTaps, nint floats, float* target)
    {
        for (nint i = 0; i < floats; i += TLanes.Width, target += TLanes.Width)
        {
            ToomCook<TVector, TLanes>.TransformFilter(TLanes.Load(firstTaps + i), TLanes.Load(lastTaps + i), target, floats);
        }
    }

    /// <summary>Output transform of a row of tiles with bias; then adds the direct convolution by the filters' middle rows, with optional ReLU.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddMiddleRows(StepContext context, in FilterPanel panel, int row, float* sums, nint* segments, ref FilterPrefetcher prefetcher)
    {
        (int image, int tile) = Math.DivRem(row, _rows.Tiles);
        int width = TLanes.Width, size = _rows.SizeOf(tile);
        float* source = context[_source] + image * _input.ImagePitch + _input.FirstTap(Block) + panel.FirstInputBlock * _input.BlockPitch
            + (2L * WinogradTile.Size * tile + 1) * _input.RowPitch;
        float* target = context[_target] + image * _output.ImagePitch + panel.FirstBlock * _output.BlockPitch
            + (long)WinogradTile.Size * tile * _output.RowPitch + _output.Origin;
        TransformOutput(size, sums, panel.Vectors, Filters.Bias(panel), target);
        var arguments = new GemmArguments
        {
            RowPitch = 2 * width,
            Segments = segments,
            SegmentCount = panel.InputBlocks,
            Depth = 3 * width,
            InitialPitch = width,
            InitialVectorPitch = (nint)_output.BlockPitch,
            TargetPitch = width,
            TargetVectorPitch = (nint)_output.BlockPitch,
            Relu = _relu,
        };
        var groups = MicroKernels<TVector, TLanes>.Divide(panel.Vectors, _output.Width);
        for (int y = 0; y < size; y++, source += 2 * _input.RowPitch, target += _output.RowPitch)
        {
            arguments.Rows = source;
            arguments.Panel = Filters.Weights(panel) + 2 * panel.InputBlocks * 3L * width * panel.Vectors * width;
            arguments.Initial = target;
            arguments.Target = target;
            groups.SetPrefetch(&arguments, prefetcher.Advance(prefetcher.Rate), prefetcher.Rate);
            groups.Run(&arguments);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void TransformOutput(int size, float* sums, int vectors, float* bias, float* target)
    {
        int width = TLanes.Width, rowPitch = _output.RowPitch;
        nint* offsets = stackalloc nint[Points];
        for (int point = 0; point < Points; point++)
            offsets[point] = point * PointSums;
        for (int x = 0; x < _output.Width; x++)
        {
            for (int o = 0; o < vectors; o++, sums += width)
            {
                TVector offset = TLanes.Load(bias + o * width);
                float* pixel = target + x * width + o * _output.BlockPitch;
                ToomCook<TVector, TLanes>.TransformOutput<Two>(size, sums, offsets, 1, out var y0, out var y1, out var y2, out var y3);
                TLanes.Store(pixel, TLanes.Add(y0, offset));
                if (size > 1)
                    TLanes.Store(pixel + rowPitch, TLanes.Add(y1, offset));
                if (size > 2)
                    TLanes.Store(pixel + 2 * rowPitch, TLanes.Add(y2, offset));
                if (size > 3)
                    TLanes.Store(pixel + 3 * rowPitch, TLanes.Add(y3, offset));
            }
        }
    }
}

/// <summary>
/// Sequence of filter memory that the kernels prefetch to the L2 cache at an even rate, a fixed distance prefetch of the
/// filters that they multiply: the rest of the current panel, then the next panel.
/// </summary>
/// <param name="position">Address to prefetch first.</param>
/// <param name="end">End of the current panel.</param>
/// <param name="next">Start of the next panel, where the sequence continues after <paramref name="end"/>.</param>
/// <param name="rate">Floats to prefetch per unit of work.</param>
internal unsafe struct FilterPrefetcher(float* position, float* end, float* next, nint rate)
{
    /// <summary>Floats to prefetch per unit of work.</summary>
    public nint Rate => rate;

    /// <summary>Returns the address of the next range to prefetch and advances the position.</summary>
    /// <param name="floats">Length of the range in floats.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float* Advance(nint floats)
    {
        float* start = position;
        position += floats;
        if (position >= end)
        {
            position = next + (position - end);
            end = (float*)nint.MaxValue;
        }
        return start;
    }
}
