using RepVgg.Architectures;
using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Runtime.Winograd;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The tables of a 3x3 convolution with stride 1 computed by Winograd's algorithm F(4x4, 3x3).</summary>
internal sealed class WinogradPlan : ConvolutionPlan
{
    /// <summary>With fewer channels than this, the transforms take as much time as the matrix products save.</summary>
    private const int MinimumChannels = 32;

    /// <summary>The numbers of channels must be multiples of the floats of a 512-bit vector.</summary>
    private const int ChannelMultiple = 16;

    /// <summary>Target size of the transformed input and output of a unit, in floats.</summary>
    private const int CachedFloats = 200_000;

    private const int MinimumTiles = 16;

    private const int MaximumTiles = 64;

    /// <summary>Additional floats between transform points, so that equal elements of different points do not map to the same cache sets.</summary>
    private const int PointPadding = 16;

    private readonly MicroKernelSet _kernels;

    public WinogradPlan(MicroKernelSet kernels, ConvolutionShape shape, int unitImages)
        : base(shape, unitImages > 0 ? unitImages : ChooseUnit(shape, kernels.Rows))
    {
        _kernels = kernels;
        TilesY = Tiles(shape.Height);
        TilesX = Tiles(shape.Width);
        ForwardOffsets = CreateOffsets(shape.Channels, shape.OutputChannels);
        BackwardOffsets = CreateOffsets(shape.OutputChannels, shape.Channels);
        ForwardPanelOffsets = CreateOffsets(shape.Channels, Panel);
        BackwardPanelOffsets = CreateOffsets(shape.OutputChannels, Panel);
    }

    public int TilesY { get; }

    public int TilesX { get; }

    public int ImageTiles => TilesY * TilesX;

    /// <summary>Height of the zero-padded frame from which tiles are read: the image height rounded up to whole tiles, plus one pixel on both sides.</summary>
    public int FrameHeight => TilesY * WinogradTile.Size + 2;

    public int FrameWidth => TilesX * WinogradTile.Size + 2;

    /// <summary>Offsets of the tiles for the matrix product of one point, from input to output channels.</summary>
    public GemmOffsets ForwardOffsets { get; }

    /// <summary>Offsets of the tiles for the matrix product of one point, from output to input channels.</summary>
    public GemmOffsets BackwardOffsets { get; }

    /// <summary>Number of columns that <see cref="PackedGemm"/> computes together.</summary>
    public int Panel => PackedGemm.PanelWidth(_kernels);

    /// <summary>As <see cref="ForwardOffsets"/>, with results of one panel.</summary>
    public GemmOffsets ForwardPanelOffsets { get; }

    /// <summary>As <see cref="BackwardOffsets"/>, with results of one panel.</summary>
    public GemmOffsets BackwardPanelOffsets { get; }

    public override long WorkspaceLength => PreparedLength(Math.Max(Shape.Channels, Shape.OutputChannels)) + WinogradTile.AllPoints * PointStride(Math.Max(Shape.Channels, Shape.OutputChannels));

    public override bool ParallelizesOverWeights(int images) =>
        (long)images * ImageTiles * (Shape.Channels + Shape.OutputChannels) < (long)Shape.Channels * Shape.OutputChannels;

    public override long SumsLength => WinogradTile.AllPoints * PointSums;

    /// <summary>Floats from the weight gradient sums of one point to those of the next.</summary>
    public long PointSums => WeightGradientGemm.SumsLength(_kernels, 1, Shape.Channels, Shape.OutputChannels) + PointPadding;

    /// <summary>Floats from the packed weights of one point to those of the next.</summary>
    public long PointWeights => (long)Shape.Channels * Shape.OutputChannels + PointPadding;

    /// <summary>Whether a shape can be computed by this algorithm and is expected to be faster than by direct convolution.</summary>
    public static bool ShouldUse(ConvolutionShape shape) =>
        shape is { KernelHeight: 3, KernelWidth: 3 } && shape.Geometry == ConvolutionGeometry.Padded(stride: 1, padding: 1, groups: 1)
        && shape.Channels >= MinimumChannels && shape.OutputChannels >= MinimumChannels
        && shape.Channels % ChannelMultiple == 0 && shape.OutputChannels % ChannelMultiple == 0
        && 2 * shape.OutputArea >= TilesOf(shape) * WinogradTile.Size * WinogradTile.Size;

    /// <summary>Floats from one transform point of a unit to the next; each point has [tiles, channels].</summary>
    public long PointStride(int channels) => PointStride(UnitImages * ImageTiles, channels);

    /// <summary>Floats from one transform point to the next for a given number of tiles.</summary>
    public static long PointStride(int tiles, int channels) => (long)tiles * channels + PointPadding;

    /// <summary>Floats of a frame and of the transform points of a unit.</summary>
    public long PreparedLength(int channels) => FrameLength(channels) + WinogradTile.AllPoints * PointStride(channels);

    /// <summary>Floats of the frame of one image.</summary>
    public long FrameLength(int channels) => (long)FrameHeight * FrameWidth * channels;

    public override ConvolutionExecutor CreateExecutor(CpuContext context) => new WinogradConvolution(context, this);

    private GemmOffsets CreateOffsets(int from, int to)
    {
        var tiles = Enumerable.Range(0, UnitImages * ImageTiles);
        return GemmOffsets.Create([.. tiles.Select(tile => tile * from)], [.. tiles.Select(tile => tile * to)], [0]);
    }

    /// <summary>
    /// Chooses the number of images of a unit so that the transformed input and output are in the second-level cache, if
    /// possible with a number of tiles that is a multiple of the rows of a register tile.
    /// </summary>
    private static int ChooseUnit(ConvolutionShape shape, int rows)
    {
        int tiles = TilesOf(shape);
        int fitting = CachedFloats / (WinogradTile.AllPoints * (shape.Channels + shape.OutputChannels));
        int most = Math.Clamp(fitting, MinimumTiles, MaximumTiles) / tiles;
        for (int images = most; images > Math.Max(1, most / 2); images--)
        {
            if (images * tiles % rows == 0)
                return images;
        }
        return Math.Max(1, most);
    }

    private static int TilesOf(ConvolutionShape shape) => Tiles(shape.Height) * Tiles(shape.Width);

    private static int Tiles(int pixels) => (pixels + WinogradTile.Size - 1) / WinogradTile.Size;
}
