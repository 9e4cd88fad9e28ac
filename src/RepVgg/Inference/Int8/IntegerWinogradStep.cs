using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Float32;
using RepVgg.Inference.Kernels;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;
using RepVgg.Runtime.Winograd;

namespace RepVgg.Inference.Int8;

/// <summary>Winograd convolution of a map of integers, 3x3 with stride 1, in tiles of 4x4 outputs; the sums are exactly those of the direct convolution, and are quantized to the output map.</summary>
/// <remarks>
/// <para>
/// F(4x4, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, with the points 0, 1, -1, 2, -2 and infinity. The filter transform has the
/// denominators 4, 6, 6, 24, 24 and 1. Without them its results are integers; the output transform multiplies by 24 over the denominator instead, so that it computes
/// 24 * 24 = 576 = 9 * 64 times the sums. All of that is exact modulo 2^32: multiplied by the inverse of 9, it is 64 times the sum, and shifted by 6 bits it is the sum, if that
/// has at most 26 bits, which <see cref="IntegerWinograd.IsExact"/> checks from the weights.
/// </para>
/// <para>
/// Transformed inputs and filters fit in words: of inputs 0 to 255, a row of the input transform is between -2040 and 1275, and a row of that between -17340 and
/// 17340; of weights -128 to 127, a row of the filter transform is 7 * 128 at most, and a row of that 7 * 7 * 128 = 6272. Tiles at the right and the bottom edge
/// read beyond the map, where there are elements 0 to 255; those change only the outputs beyond the map, which are not stored.
/// </para>
/// <para>The filters are transformed when they are used: they take one byte for each weight in memory, instead of eight, and are read from memory only once for all tiles of a chunk.</para>
/// </remarks>
/// <typeparam name="TVector">The vector type; lanes are channels.</typeparam>
/// <typeparam name="TLanes">Operations on elements of maps.</typeparam>
/// <typeparam name="TWords">Operations on words.</typeparam>
internal sealed unsafe class IntegerWinogradStep<TVector, TLanes, TWords> : ConvolutionStep
    where TVector : struct
    where TLanes : struct, IIntegerLanes<TVector>
    where TWords : struct, IWordLanes<TVector>
{
    private const int Points = WinogradTile.Points, AllPoints = WinogradTile.AllPoints, TileSize = WinogradTile.Size;

    // The results of the transforms are 9 * 2^6 times the sums. The inverse of 9 is modulo 2^32.
    private const int ExactShift = 6;
    private const int InverseOfNine = 954437177;

    // Maximum number of tiles that are multiplied together. More tiles use a transformed filter more often; fewer tiles stay in the L2 cache.
    private const int MaximumTiles = 64;

    private readonly IntegerMapLayout _input;
    private readonly IntegerMapLayout _output;
    private readonly BufferId _source;
    private readonly BufferId _target;
    private readonly int _zeroPoint;
    private readonly TileAxis _rows;
    private readonly TileAxis _columns;
    private readonly int _rowsPerChunk;
    private readonly int _inputVectors;
    private readonly IntegerPanels<TVector, TWords> _filters;

    public IntegerWinogradStep(
        BlockSpec shape, QuantizedWeights weights, IntegerMapLayout input, QuantizationParameters inputParameters, IntegerMapLayout output, QuantizationParameters outputParameters,
        BufferId source, BufferId target, WeightArena arena)
        : base(shape)
    {
        (_input, _output, _source, _target) = (input, output, source, target);
        _zeroPoint = outputParameters.ZeroPoint;
        (_rows, _columns) = (new TileAxis(output.Height), new TileAxis(output.Width));
        _rowsPerChunk = Math.Max(1, MaximumTiles / _columns.Tiles);
        _inputVectors = (shape.InputChannels + 2 * TWords.Width - 1) / (2 * TWords.Width);
        int words = _inputVectors * 2 * TWords.Width;
        _filters = new IntegerPanels<TVector, TWords>(weights, 9, shape.Groups, shape.InputChannels, words, inputParameters, outputParameters, arena, isWinograd: true);
    }

    // Units of inputs that are multiplied together, so that their transformed filters stay in the L2 cache.
    private static int MaximumUnits => 768 / TWords.Width;

    private static int SumsPitch => MicroKernels.MaximumVectors * TWords.Width;

    // Floats from the transformed filters at one point to those at the next. The cache line avoids that all points share a few sets of the L1 cache.
    private static int FilterPitch => MaximumUnits * SumsPitch + CacheLine.Floats;

    private int ChunkTiles => _rowsPerChunk * _columns.Tiles;

    // Floats of the transformed inputs of a tile at one point.
    private int InputFloats => _inputVectors * TWords.Width;

    /// <summary>Floats of workspace per worker: the transformed filters, the sums, and the transformed inputs of a chunk.</summary>
    public long WorkspaceFloats => AllPoints * (FilterPitch + (long)ChunkTiles * (SumsPitch + InputFloats)) + AllPoints * TWords.Width;

    /// <summary>Creates the step; see <see cref="WinogradFactory"/>.</summary>
    public static (ConvolutionStep Step, long WorkspaceFloats) Create(
        BlockSpec shape, QuantizedWeights weights, IntegerMapLayout input, QuantizationParameters inputParameters, IntegerMapLayout output, QuantizationParameters outputParameters,
        BufferId source, BufferId target, WeightArena arena)
    {
        var step = new IntegerWinogradStep<TVector, TLanes, TWords>(shape, weights, input, inputParameters, output, outputParameters, source, target, arena);
        return (step, step.WorkspaceFloats);
    }

    protected override WorkShares Shares(StepContext context) => new(
        context.Images, _rows.Tiles, 1, 1, _filters.Count, context.Threads, byRows: _filters.Floats <= _input.ImageFloats * context.Images);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void RunShare(StepContext context, WorkShare share, int worker)
    {
        float* filters = context.Workspace(worker), sums = filters + AllPoints * FilterPitch;
        float* inputs = sums + (long)AllPoints * ChunkTiles * SumsPitch, temporary = inputs + (long)AllPoints * ChunkTiles * InputFloats;
        var chunks = new Partition(share.EndRow - share.FirstRow, _rowsPerChunk);
        for (int i = 0; i < chunks.Count; i++)
        {
            int first = share.FirstRow + chunks.First(i), end = share.FirstRow + chunks.First(i + 1), tiles = (end - first) * _columns.Tiles;
            for (int row = first; row < end; row++)
                TransformRow(context, row, inputs + (long)(row - first) * _columns.Tiles * InputFloats, tiles, temporary);
            for (int panel = share.FirstPanel; panel < share.EndPanel; panel++)
            {
                var (firstRow, endRow) = share.Rows(panel, first, end);
                if (firstRow == endRow)
                    continue;
                int count = (endRow - firstRow) * _columns.Tiles;
                Multiply(_filters[panel], inputs + (long)(firstRow - first) * _columns.Tiles * InputFloats, tiles, count, filters, sums);
                TransformOutput(context, _filters[panel], firstRow, endRow, sums, temporary);
            }
        }
    }

    /// <summary>Transforms all channels of a row of tiles.</summary>
    /// <param name="context">The images and their buffers.</param>
    /// <param name="row">Row of tiles; the rows of all images are counted, one image after the other.</param>
    /// <param name="target">Receives the values of the row's first tile at the first point, [point][tile][channel].</param>
    /// <param name="tiles">Number of tiles of the chunk.</param>
    /// <param name="temporary">Memory for the values of one vector of channels.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void TransformRow(StepContext context, int row, float* target, int tiles, float* temporary)
    {
        (int image, row) = Math.DivRem(row, _rows.Tiles);
        byte* corner = (byte*)context[_source] + image * _input.ImageBytes + (long)row * TileSize * _input.RowBytes;
        nint rowBytes = _input.RowBytes, pixelBytes = _input.PixelBytes, pointPitch = (nint)tiles * InputFloats;
        for (int column = 0; column < _columns.Tiles; column++, corner += TileSize * pixelBytes, target += InputFloats)
        {
            for (int vector = 0; vector < _inputVectors; vector++)
                TransformInput(corner + vector * 2 * TWords.Width * TLanes.ElementBytes, rowBytes, pixelBytes, target + vector * TWords.Width, pointPitch, temporary);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TransformInput(byte* source, nint rowBytes, nint pixelBytes, float* target, nint pointPitch, float* temporary)
    {
        int width = TWords.Width;
        for (int x = 0; x < Points; x++)
        {
            byte* pixel = source + x * pixelBytes;
            TransformInput(
                TLanes.LoadWords(pixel), TLanes.LoadWords(pixel + rowBytes), TLanes.LoadWords(pixel + 2 * rowBytes), TLanes.LoadWords(pixel + 3 * rowBytes),
                TLanes.LoadWords(pixel + 4 * rowBytes), TLanes.LoadWords(pixel + 5 * rowBytes), temporary + x * width, Points * width);
        }
        for (int y = 0; y < Points; y++)
        {
            float* line = temporary + y * Points * width;
            TransformInput(
                TWords.Load(line), TWords.Load(line + width), TWords.Load(line + 2 * width), TWords.Load(line + 3 * width), TWords.Load(line + 4 * width),
                TWords.Load(line + 5 * width), target + y * Points * pointPitch, pointPitch);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TransformInput(TVector d0, TVector d1, TVector d2, TVector d3, TVector d4, TVector d5, float* target, nint pitch)
    {
        TVector even = TWords.SubtractWords(d4, TWords.ShiftWords(d2, 2)), odd = TWords.SubtractWords(d3, TWords.ShiftWords(d1, 2));
        TVector outer = TWords.SubtractWords(d4, d2), twice = TWords.ShiftWords(TWords.SubtractWords(d3, d1), 1);
        TWords.Store(target, TWords.AddWords(TWords.ShiftWords(TWords.SubtractWords(d0, d2), 2), outer));
        TWords.Store(target + pitch, TWords.AddWords(even, odd));
        TWords.Store(target + 2 * pitch, TWords.SubtractWords(even, odd));
        TWords.Store(target + 3 * pitch, TWords.AddWords(outer, twice));
        TWords.Store(target + 4 * pitch, TWords.SubtractWords(outer, twice));
        TWords.Store(target + 5 * pitch, TWords.SubtractWords(TWords.SubtractWords(d5, d3), TWords.ShiftWords(twice, 1)));
    }

    /// <summary>Multiplies tiles by a panel of filters at all points.</summary>
    /// <param name="panel">The panel.</param>
    /// <param name="inputs">Transformed inputs of the first tile at the first point.</param>
    /// <param name="tiles">Number of tiles of the chunk, which is the distance of points.</param>
    /// <param name="count">Number of tiles to multiply.</param>
    /// <param name="filters">Memory for the transformed filters.</param>
    /// <param name="sums">Receives the sums, [point][tile][vector][lane].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Multiply(in IntegerPanel panel, float* inputs, int tiles, int count, float* filters, float* sums)
    {
        int lanes = panel.Vectors * TWords.Width;
        nint segment = 0;
        fixed (float* zeros = MicroKernels.Zeros)
        {
            for (int unit = 0; unit < panel.Units; unit += MaximumUnits)
            {
                int units = Math.Min(MaximumUnits, panel.Units - unit);
                TransformFilters((sbyte*)_filters.Weights(panel) + (long)unit * 9 * lanes * 2, units, panel.Vectors, filters);
                var groups = MicroKernels<TVector, TWords>.Divide(panel.Vectors, count);
                var arguments = new GemmArguments
                {
                    RowPitch = InputFloats,
                    Segments = &segment,
                    SegmentCount = 1,
                    Depth = units,
                    InitialVectorPitch = TWords.Width,
                    TargetPitch = lanes,
                    TargetVectorPitch = TWords.Width,
                };
                for (int point = 0; point < AllPoints; point++)
                {
                    float* target = sums + (long)point * count * lanes;
                    arguments.Rows = inputs + (long)point * tiles * InputFloats + panel.FirstElement / 2 + unit;
                    arguments.Panel = filters + point * FilterPitch;
                    arguments.Target = target;
                    arguments.Initial = unit == 0 ? zeros : target;
                    arguments.InitialPitch = unit == 0 ? 0 : lanes;
                    groups.SetPrefetch(&arguments, null, 0);
                    groups.Run(&arguments);
                }
            }
        }
    }

    /// <summary>Transforms the filters of some units.</summary>
    /// <param name="source">The filters, [unit][tap][vector][lane][2].</param>
    /// <param name="units">Number of units.</param>
    /// <param name="vectors">Number of vectors.</param>
    /// <param name="target">Receives the transformed filters, [point][unit][vector][lane] with two words in each lane.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TransformFilters(sbyte* source, int units, int vectors, float* target)
    {
        int width = TWords.Width, count = 2 * width, pitch = vectors * count;
        float* columns = stackalloc float[3 * Points * width];
        for (int unit = 0; unit < units; unit++, source += 9 * pitch)
        {
            for (int vector = 0; vector < vectors; vector++, target += width)
            {
                sbyte* taps = source + vector * count;
                for (int x = 0; x < 3; x++, taps += pitch)
                    TransformFilter(TWords.LoadSignedBytes(taps), TWords.LoadSignedBytes(taps + 3 * pitch), TWords.LoadSignedBytes(taps + 6 * pitch), columns + x * width, 3 * width);
                float* line = columns;
                for (int y = 0; y < Points; y++, line += 3 * width)
                    TransformFilter(TWords.Load(line), TWords.Load(line + width), TWords.Load(line + 2 * width), target + y * Points * FilterPitch, FilterPitch);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TransformFilter(TVector g0, TVector g1, TVector g2, float* target, nint pitch)
    {
        TVector outer = TWords.AddWords(g0, g2), far = TWords.AddWords(g0, TWords.ShiftWords(g2, 2)), twice = TWords.ShiftWords(g1, 1);
        TWords.Store(target, g0);
        TWords.Store(target + pitch, TWords.SubtractWords(TWords.Zero, TWords.AddWords(outer, g1)));
        TWords.Store(target + 2 * pitch, TWords.SubtractWords(g1, outer));
        TWords.Store(target + 3 * pitch, TWords.AddWords(far, twice));
        TWords.Store(target + 4 * pitch, TWords.SubtractWords(far, twice));
        TWords.Store(target + 5 * pitch, g2);
    }

    /// <summary>Transforms the sums of a panel to outputs, quantizes them and writes them to the output map.</summary>
    /// <param name="context">The images and their buffers.</param>
    /// <param name="panel">The panel.</param>
    /// <param name="firstRow">First row of tiles.</param>
    /// <param name="endRow">The row of tiles after the last.</param>
    /// <param name="sums">The sums, [point][tile][vector][lane].</param>
    /// <param name="temporary">Memory for the values of one vector.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void TransformOutput(StepContext context, in IntegerPanel panel, int firstRow, int endRow, float* sums, float* temporary)
    {
        int lanes = panel.Vectors * TWords.Width;
        nint pointPitch = (nint)(endRow - firstRow) * _columns.Tiles * lanes;
        for (int tileRow = firstRow; tileRow < endRow; tileRow++)
        {
            var (image, row) = Math.DivRem(tileRow, _rows.Tiles);
            byte* target = (byte*)context[_target] + _output.Origin + image * _output.ImageBytes + (long)row * TileSize * _output.RowBytes + panel.FirstBlock * TWords.Width * TLanes.ElementBytes;
            for (int column = 0; column < _columns.Tiles; column++, target += TileSize * _output.PixelBytes)
            {
                for (int vector = 0; vector < panel.Vectors; vector++, sums += TWords.Width)
                {
                    int channel = vector * TWords.Width;
                    TransformOutput(
                        sums, pointPitch, TWords.Load(_filters.Initial(panel) + channel), _filters.Multipliers(panel) + channel, target + channel * TLanes.ElementBytes,
                        _rows.SizeOf(row), _columns.SizeOf(column), temporary);
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void TransformOutput(float* sums, nint pointPitch, TVector bias, float* multipliers, byte* target, int rows, int columns, float* temporary)
    {
        int width = TWords.Width;
        nint linePitch = Points * pointPitch;
        for (int x = 0; x < Points; x++)
        {
            float* sum = sums + x * pointPitch;
            TransformSums(
                TWords.Load(sum), TWords.Load(sum + linePitch), TWords.Load(sum + 2 * linePitch), TWords.Load(sum + 3 * linePitch), TWords.Load(sum + 4 * linePitch),
                TWords.Load(sum + 5 * linePitch), temporary + x * width, Points * width);
        }
        for (int y = 0; y < rows; y++, target += _output.RowBytes)
        {
            float* line = temporary + y * Points * width;
            TransformSums(
                TWords.Load(line), TWords.Load(line + width), TWords.Load(line + 2 * width), TWords.Load(line + 3 * width), TWords.Load(line + 4 * width), TWords.Load(line + 5 * width), line, width);
            byte* pixel = target;
            for (int x = 0; x < columns; x++, pixel += _output.PixelBytes)
            {
                TVector sum = TWords.MultiplyAndShiftRight(TWords.Load(line + x * width), InverseOfNine, ExactShift);
                TLanes.StoreQuantized(pixel, TWords.AddIntegers(sum, bias), multipliers, _zeroPoint);
            }
        }
    }

    /// <summary>Computes 24 times the four outputs of the sums at six points.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TransformSums(TVector m0, TVector m1, TVector m2, TVector m3, TVector m4, TVector m5, float* target, nint pitch)
    {
        TVector near = TWords.ShiftIntegers(TWords.AddIntegers(m1, m2), 2), nearDifference = TWords.ShiftIntegers(TWords.SubtractIntegers(m1, m2), 2);
        TVector far = TWords.AddIntegers(m3, m4), farDifference = TWords.SubtractIntegers(m3, m4);
        TVector sixfold = TWords.AddIntegers(TWords.ShiftIntegers(m0, 1), TWords.ShiftIntegers(m0, 2)), last = TWords.AddIntegers(TWords.ShiftIntegers(m5, 3), TWords.ShiftIntegers(m5, 4));
        TWords.Store(target, TWords.AddIntegers(sixfold, TWords.AddIntegers(near, far)));
        TWords.Store(target + pitch, TWords.AddIntegers(nearDifference, TWords.ShiftIntegers(farDifference, 1)));
        TWords.Store(target + 2 * pitch, TWords.AddIntegers(near, TWords.ShiftIntegers(far, 2)));
        TWords.Store(target + 3 * pitch, TWords.AddIntegers(TWords.AddIntegers(nearDifference, TWords.ShiftIntegers(farDifference, 3)), last));
    }
}

/// <summary>What integer Winograd convolutions need of the weights.</summary>
internal static class IntegerWinograd
{
    // Bits of the largest sum, without its sign.
    private const int SumBits = 25;

    /// <summary>Whether the sums of a layer always have few enough bits: at most 255 times the positive weights of an output channel, or the negative ones.</summary>
    public static bool IsExact(QuantizedWeights weights)
    {
        int filter = weights.Weights.Length / weights.Biases.Length;
        for (int o = 0; o < weights.Biases.Length; o++)
        {
            long positive = 0, negative = 0;
            foreach (sbyte weight in weights.Weights.AsSpan(o * filter, filter))
            {
                positive += Math.Max(weight, (sbyte)0);
                negative -= Math.Min(weight, (sbyte)0);
            }
            if (Math.Max(positive, negative) * byte.MaxValue >= 1L << SumBits)
                return false;
        }
        return true;
    }
}
