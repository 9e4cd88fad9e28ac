using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The tables of a direct convolution: offsets of pixels and taps for the forward pass and the input gradient.</summary>
internal sealed class DirectPlan : ConvolutionPlan
{
    /// <summary>With fewer channels than this, the input is copied to patches (im2col), so that the inner loop runs over all taps and channels of a patch.</summary>
    private const int PatchChannels = 8;

    private readonly MicroKernelSet _kernels;

    public DirectPlan(MicroKernelSet kernels, ConvolutionShape shape, int unitImages)
        : base(shape, unitImages > 0 ? unitImages : ChooseUnit(shape.OutputArea, kernels.Rows))
    {
        _kernels = kernels;
        UsesPatches = shape.Groups == 1 && shape.Channels < PatchChannels && shape.Taps > 1 && shape.Geometry.Dilation == 1;
        PaddedHeight = shape.Geometry.PaddedHeight(shape.Height);
        PaddedWidth = shape.Geometry.PaddedWidth(shape.Width);
        ForwardOffsets = BuildForward();

        // The output gradient is read from a zero-padded frame that is large enough for all taps of all input pixels.
        var geometry = shape.Geometry;
        MarginTop = Math.Max(0, (geometry.Span(shape.KernelHeight) - 1) / shape.Stride - geometry.Top / shape.Stride);
        MarginLeft = Math.Max(0, (geometry.Span(shape.KernelWidth) - 1) / shape.Stride - geometry.Left / shape.Stride);
        FrameHeight = MarginTop + Math.Max(shape.OutputHeight, (shape.Height - 1 + geometry.Top) / shape.Stride + 1);
        FrameWidth = MarginLeft + Math.Max(shape.OutputWidth, (shape.Width - 1 + geometry.Left) / shape.Stride + 1);
        Phases = BuildPhases();
    }

    /// <summary>Whether inputs are first copied to patches [pixel][tap][channel]. The kernels then see a single tap.</summary>
    public bool UsesPatches { get; }

    /// <summary>Whether inputs are first copied into a zero-padded frame.</summary>
    public bool UsesFrame => !UsesPatches && (PaddedHeight > Shape.Height || PaddedWidth > Shape.Width);

    public int PaddedHeight { get; }

    public int PaddedWidth { get; }

    /// <summary>Number of taps for the kernels: 1 if patches are used.</summary>
    public int InnerTaps => UsesPatches ? 1 : Shape.Taps;

    /// <summary>Number of channels of a group for the kernels: taps * channels if patches are used.</summary>
    public int InnerChannels => UsesPatches ? Shape.Channels * Shape.Taps : Shape.GroupChannels;

    /// <summary>Floats of the prepared input of one image.</summary>
    public long PreparedImage => UsesPatches ? (long)Shape.OutputArea * InnerChannels : UsesFrame ? (long)PaddedHeight * PaddedWidth * Shape.Channels : (long)Shape.Height * Shape.Width * Shape.Channels;

    /// <summary>Floats of workspace for the prepared input of a unit; 0 if the input is read in place.</summary>
    public long InputWorkspaceLength => UsesPatches || UsesFrame ? UnitImages * PreparedImage : 0;

    /// <summary>Floats of the framed output gradient of one image.</summary>
    public long FramedGradient => (long)FrameHeight * FrameWidth * Shape.OutputChannels;

    /// <summary>Floats of workspace for the framed output gradient of a unit; 0 if the gradient is read in place.</summary>
    public long GradientWorkspaceLength => NeedsGradientFrame ? UnitImages * FramedGradient : 0;

    public override long WorkspaceLength => Math.Max(InputWorkspaceLength, GradientWorkspaceLength);

    public override long SumsLength => Shape.Groups * WeightGradientGemm.SumsLength(_kernels, InnerTaps, InnerChannels, Shape.GroupOutputs);

    public override bool ParallelizesOverWeights(int images) => images * (PreparedImage + (long)Shape.OutputArea * Shape.OutputChannels) < SumsLength;

    public override ConvolutionExecutor CreateExecutor(CpuContext context) => new DirectConvolution(context, this);

    public GemmOffsets ForwardOffsets { get; }

    public int MarginTop { get; }

    public int MarginLeft { get; }

    public int FrameHeight { get; }

    public int FrameWidth { get; }

    public bool NeedsGradientFrame => FrameHeight != Shape.OutputHeight || FrameWidth != Shape.OutputWidth;

    /// <summary>The phases of the input gradient. Input pixels whose padded coordinates have equal remainders modulo the stride use the same taps.</summary>
    public IReadOnlyList<ConvolutionPhase> Phases { get; }

    private static int ChooseUnit(int pixels, int rows)
    {
        const int EnoughPixels = 256, MinimumPixels = 64;
        if (pixels >= EnoughPixels)
            return 1;
        int least = (MinimumPixels + pixels - 1) / pixels;
        for (int images = least; images < least + rows; images++)
        {
            if (images * pixels % rows == 0)
                return images;
        }
        return least;
    }

    private GemmOffsets BuildForward()
    {
        var shape = Shape;
        var inputs = new List<int>();
        var outputs = new List<int>();
        var taps = new List<int>();
        for (int image = 0; image < UnitImages; image++)
        {
            for (int p = 0; p < shape.OutputArea; p++)
            {
                outputs.Add((image * shape.OutputArea + p) * shape.OutputChannels);
                inputs.Add(image * (int)PreparedImage + (UsesPatches
                    ? p * InnerChannels
                    : (p / shape.OutputWidth * shape.Stride * PaddedWidth + p % shape.OutputWidth * shape.Stride) * shape.Channels));
            }
        }
        if (UsesPatches)
            return GemmOffsets.Create(inputs, outputs, [0]);
        for (int ky = 0; ky < shape.KernelHeight; ky++)
        {
            for (int kx = 0; kx < shape.KernelWidth; kx++)
                taps.Add((ky * PaddedWidth + kx) * shape.Geometry.Dilation * shape.Channels);
        }
        return GemmOffsets.Create(inputs, outputs, taps);
    }

    private List<ConvolutionPhase> BuildPhases()
    {
        var shape = Shape;
        var phases = new List<ConvolutionPhase>();
        for (int phaseY = 0; phaseY < shape.Stride; phaseY++)
        {
            for (int phaseX = 0; phaseX < shape.Stride; phaseX++)
            {
                var inputs = new List<int>();
                var outputs = new List<int>();
                for (int i = 0; i < UnitImages * shape.Height * shape.Width; i++)
                {
                    int image = i / (shape.Height * shape.Width);
                    int y = i / shape.Width % shape.Height + shape.Geometry.Top, x = i % shape.Width + shape.Geometry.Left;
                    if (y % shape.Stride != phaseY || x % shape.Stride != phaseX)
                        continue;
                    inputs.Add(image * (int)FramedGradient + ((y / shape.Stride + MarginTop) * FrameWidth + x / shape.Stride + MarginLeft) * shape.OutputChannels);
                    outputs.Add(i * shape.Channels);
                }
                if (inputs.Count == 0)
                    continue;
                var taps = new List<int>();
                var kernelTaps = new List<int>();
                for (int ky = phaseY, j = 0; ky < shape.KernelHeight; ky += shape.Stride, j++)
                {
                    for (int kx = phaseX, i = 0; kx < shape.KernelWidth; kx += shape.Stride, i++)
                    {
                        taps.Add(-(j * FrameWidth + i) * shape.Geometry.Dilation * shape.OutputChannels);
                        kernelTaps.Add(ky * shape.KernelWidth + kx);
                    }
                }
                phases.Add(new ConvolutionPhase(GemmOffsets.Create(inputs, outputs, taps), [.. kernelTaps]));
            }
        }
        return phases;
    }
}

/// <summary>A set of input pixels whose gradients use the same kernel taps.</summary>
/// <param name="Offsets">Offsets of the pixels and taps.</param>
/// <param name="KernelTaps">Positions of the taps in the kernel, row-major.</param>
internal sealed record ConvolutionPhase(GemmOffsets Offsets, int[] KernelTaps);
