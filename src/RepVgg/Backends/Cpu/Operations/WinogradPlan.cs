using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The tables of a 3x3 convolution of stride 1 computed by Winograd's F(4x4, 3x3).</summary>
internal sealed class WinogradPlan : ConvolutionPlan
{
    /// <summary>Below this many channels the transforms cost what the products save.</summary>
    private const int FewestChannels = 32;

    /// <summary>Channels come in whole vectors of the widest kind.</summary>
    private const int ChannelStep = 16;

    /// <summary>Floats of both sides' points that a unit may fill.</summary>
    private const int CachedFloats = 200_000;

    private const int FewestTiles = 16;

    private const int MostTiles = 64;

    /// <summary>Floats between points that keep them off the same cache sets.</summary>
    private const int PointGap = 16;

    private readonly TileKernels _kernels;

    public WinogradPlan(TileKernels kernels, ConvolutionShape shape, int unitImages)
        : base(shape, unitImages > 0 ? unitImages : ChooseUnit(shape, kernels.Rows))
    {
        _kernels = kernels;
        TilesY = Tiles(shape.Height);
        TilesX = Tiles(shape.Width);
        ForwardLayout = Layout(shape.Channels, shape.OutputChannels);
        BackwardLayout = Layout(shape.OutputChannels, shape.Channels);
    }

    public int TilesY { get; }

    public int TilesX { get; }

    public int ImageTiles => TilesY * TilesX;

    /// <summary>Height of the zero frame that tiles are read from: the image, one pixel around it, and up to whole tiles.</summary>
    public int FrameHeight => TilesY * WinogradTransforms.TileSize + 2;

    public int FrameWidth => TilesX * WinogradTransforms.TileSize + 2;

    /// <summary>Tiles times points, from input to output channels.</summary>
    public PixelLayout ForwardLayout { get; }

    /// <summary>The same from output to input channels.</summary>
    public PixelLayout BackwardLayout { get; }

    public override long ScratchLength => PreparedLength(Math.Max(Shape.Channels, Shape.OutputChannels)) + WinogradTransforms.AllPoints * PointStride(Math.Max(Shape.Channels, Shape.OutputChannels));

    public override bool SharesOutWeights(int images) =>
        (long)images * ImageTiles * (Shape.Channels + Shape.OutputChannels) < (long)Shape.Channels * Shape.OutputChannels;

    public override long SumsLength => WinogradTransforms.AllPoints * PointSums;

    /// <summary>Floats from one point's sums to the next.</summary>
    public long PointSums => WeightProduct.SumsLength(_kernels, 1, Shape.Channels, Shape.OutputChannels) + PointGap;

    /// <summary>Floats from one point's weights to the next.</summary>
    public long PointWeights => (long)Shape.Channels * Shape.OutputChannels + PointGap;

    /// <summary>True where this way is the faster one.</summary>
    public static bool Suits(ConvolutionShape shape) =>
        shape is { KernelHeight: 3, KernelWidth: 3, Stride: 1, Padding: 1, Groups: 1 }
        && shape.Channels >= FewestChannels && shape.OutputChannels >= FewestChannels
        && shape.Channels % ChannelStep == 0 && shape.OutputChannels % ChannelStep == 0
        && 2 * shape.OutputArea >= TilesOf(shape) * WinogradTransforms.TileSize * WinogradTransforms.TileSize;

    /// <summary>Floats from one point of a unit to the next, tiles by channels.</summary>
    public long PointStride(int channels) => PointStride(UnitImages * ImageTiles, channels);

    /// <summary>The same for any number of tiles.</summary>
    public static long PointStride(int tiles, int channels) => (long)tiles * channels + PointGap;

    /// <summary>Floats of a frame and of the points made from it.</summary>
    public long PreparedLength(int channels) => FrameLength(channels) + WinogradTransforms.AllPoints * PointStride(channels);

    /// <summary>Floats of one image's frame.</summary>
    public long FrameLength(int channels) => (long)FrameHeight * FrameWidth * channels;

    public override ConvolutionKernel NewKernel(CpuBackend backend) => new WinogradConvolution(backend, this);

    private PixelLayout Layout(int from, int to)
    {
        var tiles = Enumerable.Range(0, UnitImages * ImageTiles);
        return PixelLayout.Create([.. tiles.Select(tile => tile * from)], [.. tiles.Select(tile => tile * to)], [0]);
    }

    /// <summary>As many images as keep the points of both sides in the second-level cache, in whole rows of tiles.</summary>
    private static int ChooseUnit(ConvolutionShape shape, int rows)
    {
        int tiles = TilesOf(shape);
        int fitting = CachedFloats / (WinogradTransforms.AllPoints * (shape.Channels + shape.OutputChannels));
        int most = Math.Clamp(fitting, FewestTiles, MostTiles) / tiles;
        for (int images = most; images > Math.Max(1, most / 2); images--)
        {
            if (images * tiles % rows == 0)
                return images;
        }
        return Math.Max(1, most);
    }

    private static int TilesOf(ConvolutionShape shape) => Tiles(shape.Height) * Tiles(shape.Width);

    private static int Tiles(int pixels) => (pixels + WinogradTransforms.TileSize - 1) / WinogradTransforms.TileSize;
}
