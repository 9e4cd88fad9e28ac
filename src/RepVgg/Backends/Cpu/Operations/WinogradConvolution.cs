using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Runtime.Memory;
using RepVgg.Runtime.Winograd;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>3x3 convolution with stride 1 by Winograd's algorithm: forward pass, input gradient and weight gradient.</summary>
/// <remarks>
/// Forward: y = A^T [(G g G^T) . (B^T d B)] A per tile, where the dot is a matrix product over channels at each of the
/// 36 transform points. The input gradient is the same with the kernel rotated by 180 degrees; the weight gradient is
/// G^T [sum over tiles of (B^T d B) . (A dy A^T)] G.
/// </remarks>
internal sealed unsafe class WinogradConvolution(CpuContext context, WinogradPlan plan) : ConvolutionExecutor
{
    private const int AllPoints = WinogradTile.AllPoints;
    private const int TileSize = WinogradTile.Size;
    private const int Taps = 9;

    /// <summary>Number of channels whose weights are packed, or whose gradients are stored, together. The numbers of channels are always multiples of it.</summary>
    private const int ChannelBlock = 16;

    /// <summary>Number of output channels whose gradients are stored together.</summary>
    private const int OutputBlock = 64;

    private readonly MicroKernelSet _kernels = context.Kernels;
    private readonly WinogradTransforms _transforms = context.Kernels.Winograd;
    private NativeBuffer? _forwardWeights;
    private NativeBuffer? _backwardWeights;

    public override ConvolutionPlan Plan => plan;

    private int Channels => plan.Shape.Channels;

    private int Outputs => plan.Shape.OutputChannels;

    private int Height => plan.Shape.Height;

    private int Width => plan.Shape.Width;

    public override void PackForward(float* weights) =>
        _forwardWeights ??= Pack(ForwardFilters(weights));

    public override void PackBackward(float* weights) =>
        _backwardWeights ??= Pack(BackwardFilters(weights));

    public override float* PrepareInput(float* input, int images, float* workspace) => ToPoints(input, Channels, images, workspace, workspace + plan.FrameLength(Channels), plan.PointStride(Channels));

    public override void Forward(float* prepared, int images, float* output, float* workspace) =>
        Multiply(prepared, plan.ForwardOffsets, Channels, _forwardWeights!.Pointer, Outputs, images, workspace + plan.PreparedLength(Channels), output, accumulate: false);

    public override void InputGradient(float* gradient, int images, float* workspace, float* inputGradient, bool accumulate)
    {
        float* points = ToPoints(gradient, Outputs, images, workspace, workspace + plan.FrameLength(Outputs), plan.PointStride(Outputs));
        Multiply(points, plan.BackwardOffsets, Outputs, _backwardWeights!.Pointer, Channels, images, workspace + plan.PreparedLength(Outputs), inputGradient, accumulate);
    }

    public override void WeightGradient(float* prepared, float* gradient, int images, float* sums, float* workspace)
    {
        float* points = workspace + plan.PreparedLength(Channels);
        long pointStride = plan.PointStride(Outputs);
        GradientToPoints(gradient, images, points, pointStride);
        long inputStride = plan.PointStride(Channels), sumsStride = plan.PointSums;
        for (int point = 0; point < AllPoints; point++)
        {
            WeightGradientGemm.Accumulate(_kernels, plan.ForwardOffsets, images * plan.ImageTiles, prepared + point * inputStride, Channels,
                points + point * pointStride, Outputs, Outputs, sums + point * sumsStride);
        }
    }

    public override void ReduceWeightGradient(ChunkedBuffer sums, float* weightGradient, bool accumulate)
    {
        sums.SumChunks(context);
        Store(sums, weightGradient, accumulate);
    }

    public override void ForwardOfBatch(float* weights, float* input, int images, float* output) =>
        MultiplyBatch(ForwardFilters(weights), plan.ForwardPanelOffsets, input, images, output, accumulate: false);

    public override void InputGradientOfBatch(float* weights, float* gradient, int images, float* inputGradient, bool accumulate) =>
        MultiplyBatch(BackwardFilters(weights), plan.BackwardPanelOffsets, gradient, images, inputGradient, accumulate);

    public override void WeightGradientOfBatch(float* input, float* gradient, int images, float* weightGradient, bool accumulate)
    {
        int tiles = images * plan.ImageTiles, unitTiles = plan.ForwardOffsets.Pixels, panel = plan.Panel;
        long gradientStride = WinogradPlan.PointStride(tiles, Outputs), sumsStride = WinogradPlan.PointStride(_kernels.PadRows(Channels), panel);
        using var inputPoints = ToPointsOfBatch(input, Channels, images);
        using var gradientPoints = new ChunkedBuffer(context.Pool, AllPoints, gradientStride);
        context.Run(images, (image, _) =>
            GradientToPoints(gradient + (long)image * Height * Width * Outputs, 1, gradientPoints[0] + (long)image * plan.ImageTiles * Outputs, gradientStride));
        using var workspaces = new WorkerWorkspaces(context, Taps * panel + AllPoints * sumsStride);
        context.Run((Outputs + panel - 1) / panel, (item, worker) =>
        {
            int output = item * panel, width = Math.Min(panel, Outputs - output);
            float* taps = workspaces[worker], sums = taps + Taps * panel;
            for (int point = 0; point < AllPoints; point++)
            {
                for (int tile = 0; tile < tiles; tile += unitTiles)
                {
                    WeightGradientGemm.Run(_kernels, plan.ForwardOffsets, Math.Min(unitTiles, tiles - tile), inputPoints[point] + (long)tile * Channels, Channels, 0..1, 0..Channels,
                        gradientPoints[point] + (long)tile * Outputs + output, Outputs, width, sums + point * sumsStride, accumulate: tile > 0);
                }
            }
            for (int channel = 0; channel < Channels; channel += ChannelBlock)
                StoreBlock(sums + (long)channel * width, sumsStride, width, channel, output, width, taps, weightGradient, accumulate);
        });
    }

    private void Store(ChunkedBuffer sums, float* weightGradient, bool accumulate)
    {
        int panels = (Outputs + OutputBlock - 1) / OutputBlock;
        using var workspaces = new WorkerWorkspaces(context, Taps * OutputBlock);
        context.Run(Channels / ChannelBlock * panels, (item, worker) =>
        {
            int output = item % panels * OutputBlock, channel = item / panels * ChannelBlock;
            StoreBlock(sums[0] + (long)channel * Outputs + output, plan.PointSums, Outputs, channel, output, Math.Min(OutputBlock, Outputs - output), workspaces[worker], weightGradient, accumulate);
        });
    }

    /// <summary>Transforms the sums of a block of channels and output channels and writes them to the OIHW weight gradient.</summary>
    private void StoreBlock(float* sums, long pointStride, int channelStride, int channel, int output, int outputs, float* taps, float* weightGradient, bool accumulate)
    {
        float* to = weightGradient + ((long)output * Channels + channel) * Taps;
        Transposition.PrefetchMatrix(to, ChannelBlock, Taps, outputs, (nint)Channels * Taps);
        for (int k = 0; k < ChannelBlock; k++)
        {
            _transforms.FilterGradient(sums + (long)k * channelStride, pointStride, outputs, taps, outputs);
            Transposition.Run(taps, outputs, Taps, outputs, to + k * Taps, (nint)Channels * Taps, accumulate);
        }
    }

    private void GradientToPoints(float* gradient, int images, float* points, long pointStride)
    {
        for (int tile = 0; tile < images * plan.ImageTiles; tile++)
        {
            var (pixel, rows, columns) = LocateTile(tile);
            _transforms.OutputGradient(gradient + pixel * Outputs, (long)Width * Outputs, rows, columns, Outputs, points + (long)tile * Outputs, pointStride);
        }
    }

    public override void Dispose()
    {
        if (_forwardWeights is not null)
            context.Pool.Return(_forwardWeights);
        if (_backwardWeights is not null)
            context.Pool.Return(_backwardWeights);
        _forwardWeights = _backwardWeights = null;
    }

    /// <summary>Transforms the weights and packs them for <see cref="PackedGemm"/>, separately for each transform point.</summary>
    private NativeBuffer Pack(Filters filters)
    {
        var packed = context.Pool.Rent(AllPoints * plan.PointWeights);
        int panel = plan.Panel, blocks = filters.Channels / ChannelBlock;
        using var workspaces = new WorkerWorkspaces(context, Taps * ChannelBlock * panel);
        context.Run((filters.Columns + panel - 1) / panel * blocks, (item, worker) =>
        {
            int column = item / blocks * panel, channel = item % blocks * ChannelBlock, width = Math.Min(panel, filters.Columns - column);
            PackBlock(filters, channel, column, width, workspaces[worker], packed.Pointer + (long)column * filters.Channels + (long)channel * width, plan.PointWeights);
        });
        return packed;
    }

    /// <summary>Transforms and packs the weights of a block of channels and a panel of columns.</summary>
    private void PackBlock(Filters filters, int channel, int column, int width, float* taps, float* packed, long pointStride)
    {
        float* from = filters.Weights + column * filters.ColumnStride + channel * filters.ChannelStride;
        int tapStride = ChannelBlock * width;
        Transposition.PrefetchMatrix(from, ChannelBlock, filters.ChannelStride, width, filters.ColumnStride);
        for (int k = 0; k < ChannelBlock; k++)
            Transposition.Run(from + k * filters.ChannelStride, filters.ColumnStride, width, Taps, taps + k * width, tapStride);
        _transforms.Filter(filters.IsRotated ? taps + (Taps - 1) * tapStride : taps, filters.IsRotated ? -tapStride : tapStride, tapStride, packed, pointStride);
    }

    /// <summary>
    /// Computes the products of a whole batch, for few tiles and many weights. The panels of result channels are divided among the threads. Each thread packs the weights of its
    /// panels for itself and uses them at once, so that no other thread reads them; those of up to about 200 channels stay in its second-level cache.
    /// </summary>
    private void MultiplyBatch(Filters filters, GemmOffsets offsets, float* maps, int images, float* output, bool accumulate)
    {
        int channels = filters.Channels, columns = filters.Columns, tiles = images * plan.ImageTiles, unitTiles = offsets.Pixels, panel = plan.Panel;
        long packedStride = WinogradPlan.PointStride(channels, panel), productStride = WinogradPlan.PointStride(unitTiles, panel);
        using var points = ToPointsOfBatch(maps, channels, images);
        using var workspaces = new WorkerWorkspaces(context, Taps * ChannelBlock * panel + AllPoints * (packedStride + productStride));
        context.Run((columns + panel - 1) / panel, (item, worker) =>
        {
            int column = item * panel, width = Math.Min(panel, columns - column);
            float* taps = workspaces[worker], packed = taps + Taps * ChannelBlock * panel, products = packed + AllPoints * packedStride;
            for (int channel = 0; channel < channels; channel += ChannelBlock)
                PackBlock(filters, channel, column, width, taps, packed + (long)channel * width, packedStride);
            for (int first = 0; first < tiles; first += unitTiles)
            {
                int count = Math.Min(unitTiles, tiles - first);
                for (int point = 0; point < AllPoints; point++)
                    PackedGemm.Run(_kernels, offsets, count, points[point] + (long)first * channels, channels, packed + point * packedStride, width, products + point * productStride, accumulate: false);
                for (int tile = 0; tile < count; tile++)
                {
                    var (pixel, rows, columnsInside) = LocateTile(first + tile);
                    _transforms.Output(products + (long)tile * panel, productStride, width, output + pixel * columns + column, columns, (long)Width * columns, rows, columnsInside, accumulate);
                }
            }
        });
    }

    /// <summary>Transforms the maps of a whole batch in parallel. Returns the points, each [tiles, channels].</summary>
    private ChunkedBuffer ToPointsOfBatch(float* maps, int channels, int images)
    {
        long pointStride = WinogradPlan.PointStride(images * plan.ImageTiles, channels), size = (long)Height * Width * channels;
        var points = new ChunkedBuffer(context.Pool, AllPoints, pointStride);
        using var frames = new WorkerWorkspaces(context, plan.FrameLength(channels));
        context.Run(images, (image, worker) => ToPoints(maps + image * size, channels, 1, frames[worker], points[0] + (long)image * plan.ImageTiles * channels, pointStride));
        return points;
    }

    /// <summary>Copies each image into a zero-padded frame and applies the input transform to its tiles. Returns <paramref name="points"/>.</summary>
    private float* ToPoints(float* images, int channels, int count, float* frame, float* points, long pointStride)
    {
        long rowStride = (long)plan.FrameWidth * channels;
        float* target = points;
        for (int image = 0; image < count; image++)
        {
            ImageLayout.Pad(images + (long)image * Height * Width * channels, Height, Width, channels, frame, 1, 1, plan.FrameHeight, plan.FrameWidth);
            for (int y = 0; y < plan.TilesY; y++)
            {
                for (int x = 0; x < plan.TilesX; x++, target += channels)
                    _transforms.Input(frame + y * TileSize * rowStride + (long)x * TileSize * channels, rowStride, channels, target, pointStride);
            }
        }
        return points;
    }

    private void Multiply(float* points, GemmOffsets offsets, int channels, float* weights, int columns, int images, float* products, float* output, bool accumulate)
    {
        int tiles = images * plan.ImageTiles;
        long pointStride = plan.PointStride(channels), productStride = plan.PointStride(columns);
        for (int point = 0; point < AllPoints; point++)
        {
            PackedGemm.Run(_kernels, offsets, tiles, points + point * pointStride, channels, weights + point * plan.PointWeights,
                columns, products + point * productStride, accumulate: false);
        }
        for (int tile = 0; tile < tiles; tile++)
        {
            var (pixel, rows, columnsInside) = LocateTile(tile);
            _transforms.Output(products + (long)tile * columns, productStride, columns, output + pixel * columns, columns, (long)Width * columns, rows, columnsInside, accumulate);
        }
    }

    /// <summary>Returns the first pixel of a tile in the unit, and the numbers of rows and columns of the tile that are inside the image.</summary>
    private (long Pixel, int Rows, int Columns) LocateTile(int tile)
    {
        int image = tile / plan.ImageTiles, y = tile / plan.TilesX % plan.TilesY * TileSize, x = tile % plan.TilesX * TileSize;
        return ((long)image * Height * Width + y * Width + x, Math.Min(TileSize, Height - y), Math.Min(TileSize, Width - x));
    }

    private Filters ForwardFilters(float* weights) => new(weights, Channels, Taps, Outputs, Channels * Taps, isRotated: false);

    private Filters BackwardFilters(float* weights) => new(weights, Outputs, Channels * Taps, Channels, Taps, isRotated: true);

    /// <summary>How a product reads OIHW weights.</summary>
    /// <param name="weights">The weights.</param>
    /// <param name="channels">Number of channels that the product sums over.</param>
    /// <param name="channelStride">Floats from one channel to the next.</param>
    /// <param name="columns">Number of result channels of the product.</param>
    /// <param name="columnStride">Floats from one result channel to the next.</param>
    /// <param name="isRotated">Whether the order of the taps is reversed, which rotates the kernel by 180 degrees.</param>
    private readonly struct Filters(float* weights, int channels, nint channelStride, int columns, nint columnStride, bool isRotated)
    {
        public float* Weights => weights;

        public int Channels => channels;

        public nint ChannelStride => channelStride;

        public int Columns => columns;

        public nint ColumnStride => columnStride;

        public bool IsRotated => isRotated;
    }
}
