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
        _forwardWeights ??= Pack(weights, Channels, Taps, Outputs, Channels * Taps, rotated: false);

    public override void PackBackward(float* weights) =>
        _backwardWeights ??= Pack(weights, Outputs, Channels * Taps, Channels, Taps, rotated: true);

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

    public override void WeightGradientOfBatch(float* input, float* gradient, int images, float* weightGradient, bool accumulate)
    {
        int tiles = images * plan.ImageTiles, unitTiles = plan.ForwardOffsets.Pixels;
        long inputStride = WinogradPlan.PointStride(tiles, Channels), gradientStride = WinogradPlan.PointStride(tiles, Outputs);
        using var inputPoints = new ChunkedBuffer(context.Pool, AllPoints, inputStride);
        using var gradientPoints = new ChunkedBuffer(context.Pool, AllPoints, gradientStride);
        using var frames = new WorkerWorkspaces(context, plan.FrameLength(Channels));
        context.Run(images, (image, worker) =>
        {
            long pixel = (long)image * Height * Width, tile = (long)image * plan.ImageTiles;
            ToPoints(input + pixel * Channels, Channels, 1, frames[worker], inputPoints[0] + tile * Channels, inputStride);
            GradientToPoints(gradient + pixel * Outputs, 1, gradientPoints[0] + tile * Outputs, gradientStride);
        });
        using var sums = new ChunkedBuffer(context.Pool, AllPoints, plan.PointSums);
        context.Run(AllPoints, (point, _) =>
        {
            sums.Clear(point);
            for (int tile = 0; tile < tiles; tile += unitTiles)
            {
                WeightGradientGemm.Accumulate(_kernels, plan.ForwardOffsets, Math.Min(unitTiles, tiles - tile), inputPoints[point] + (long)tile * Channels, Channels,
                    gradientPoints[point] + (long)tile * Outputs, Outputs, Outputs, sums[point]);
            }
        });
        Store(sums, weightGradient, accumulate);
    }

    private void Store(ChunkedBuffer sums, float* weightGradient, bool accumulate)
    {
        long pointStride = plan.PointSums;
        int panels = (Outputs + OutputBlock - 1) / OutputBlock;
        using var workspaces = new WorkerWorkspaces(context, Taps * OutputBlock);
        context.Run(Channels / ChannelBlock * panels, (item, worker) =>
        {
            float* taps = workspaces[worker];
            int output = item % panels * OutputBlock, outputs = Math.Min(OutputBlock, Outputs - output), first = item / panels * ChannelBlock;
            Transposition.PrefetchMatrix(weightGradient + ((long)output * Channels + first) * Taps, ChannelBlock, Taps, outputs, (nint)Channels * Taps);
            for (int channel = first; channel < first + ChannelBlock; channel++)
            {
                _transforms.FilterGradient(sums[0] + (long)channel * Outputs + output, pointStride, outputs, taps, OutputBlock);
                Transposition.Run(taps, OutputBlock, Taps, outputs, weightGradient + ((long)output * Channels + channel) * Taps, (nint)Channels * Taps, accumulate);
            }
        });
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
    /// <param name="weights">Weights, OIHW.</param>
    /// <param name="channels">Number of channels that the product sums over.</param>
    /// <param name="channelStride">Floats from one channel to the next in the weights.</param>
    /// <param name="columns">Number of result channels of the product.</param>
    /// <param name="columnStride">Floats from one result channel to the next in the weights.</param>
    /// <param name="rotated">True to reverse the order of the taps, which rotates the kernel by 180 degrees.</param>
    private NativeBuffer Pack(float* weights, int channels, nint channelStride, int columns, nint columnStride, bool rotated)
    {
        var packed = context.Pool.Rent(AllPoints * plan.PointWeights);
        int panel = 2 * _kernels.VectorLength, blocks = channels / ChannelBlock;
        using var workspaces = new WorkerWorkspaces(context, Taps * ChannelBlock * panel);
        context.Run((columns + panel - 1) / panel * blocks, (item, worker) =>
        {
            int column = item / blocks * panel, channel = item % blocks * ChannelBlock, width = Math.Min(panel, columns - column);
            float* from = weights + column * columnStride + channel * channelStride;
            float* taps = workspaces[worker];
            int tapStride = ChannelBlock * width;
            Transposition.PrefetchMatrix(from, ChannelBlock, channelStride, width, columnStride);
            for (int k = 0; k < ChannelBlock; k++)
                Transposition.Run(from + k * channelStride, columnStride, width, Taps, taps + k * width, tapStride);
            _transforms.Filter(rotated ? taps + (Taps - 1) * tapStride : taps, rotated ? -tapStride : tapStride, tapStride,
                packed.Pointer + (long)column * channels + (long)channel * width, plan.PointWeights);
        });
        return packed;
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
            _transforms.Output(products + (long)tile * columns, productStride, columns, output + pixel * columns, (long)Width * columns, rows, columnsInside, accumulate);
        }
    }

    /// <summary>Returns the first pixel of a tile in the unit, and the numbers of rows and columns of the tile that are inside the image.</summary>
    private (long Pixel, int Rows, int Columns) LocateTile(int tile)
    {
        int image = tile / plan.ImageTiles, y = tile / plan.TilesX % plan.TilesY * TileSize, x = tile % plan.TilesX * TileSize;
        return ((long)image * Height * Width + y * Width + x, Math.Min(TileSize, Height - y), Math.Min(TileSize, Width - x));
    }
}
