using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The tables of a convolution computed directly: where its pixels and taps lie, forward and for the gradient by input.</summary>
internal sealed class DirectPlan : ConvolutionPlan
{
    /// <summary>Below this many channels, patches are laid out side by side: the inner loop runs over whole patches.</summary>
    private const int PatchChannels = 8;

    private readonly TileKernels _kernels;

    public DirectPlan(TileKernels kernels, ConvolutionShape shape, int unitImages)
        : base(shape, unitImages > 0 ? unitImages : ChooseUnit(shape.OutputArea, kernels.Rows))
    {
        _kernels = kernels;
        UsesPatches = shape.Groups == 1 && shape.Channels < PatchChannels && shape.Taps > 1;
        PaddedHeight = shape.Height + 2 * shape.Padding;
        PaddedWidth = shape.Width + 2 * shape.Padding;
        Forward = BuildForward();

        // The gradient is read through a frame: zeros as far above, left, below and right as any pixel's taps reach.
        MarginTop = Math.Max(0, (shape.KernelHeight - 1) / shape.Stride - shape.Padding / shape.Stride);
        MarginLeft = Math.Max(0, (shape.KernelWidth - 1) / shape.Stride - shape.Padding / shape.Stride);
        FrameHeight = MarginTop + Math.Max(shape.OutputHeight, (shape.Height - 1 + shape.Padding) / shape.Stride + 1);
        FrameWidth = MarginLeft + Math.Max(shape.OutputWidth, (shape.Width - 1 + shape.Padding) / shape.Stride + 1);
        Phases = BuildPhases();
    }

    /// <summary>True: inputs are gathered to [pixel][tap][channel] first, and there is a single tap.</summary>
    public bool UsesPatches { get; }

    /// <summary>True: inputs are copied into a zero frame first.</summary>
    public bool UsesFrame => !UsesPatches && Shape.Padding > 0;

    public int PaddedHeight { get; }

    public int PaddedWidth { get; }

    /// <summary>Taps as the kernels see them: one where patches are used.</summary>
    public int InnerTaps => UsesPatches ? 1 : Shape.Taps;

    /// <summary>Channels of a group as the kernels see them.</summary>
    public int InnerChannels => UsesPatches ? Shape.Channels * Shape.Taps : Shape.GroupChannels;

    /// <summary>Floats that one image's prepared input takes.</summary>
    public long PreparedImage => UsesPatches ? (long)Shape.OutputArea * InnerChannels : UsesFrame ? (long)PaddedHeight * PaddedWidth * Shape.Channels : (long)Shape.Height * Shape.Width * Shape.Channels;

    /// <summary>Floats of scratch that a unit's prepared input takes; none where the input is read as it lies.</summary>
    public long InputScratch => UsesPatches || UsesFrame ? UnitImages * PreparedImage : 0;

    /// <summary>Floats that one image's gradient takes in its frame.</summary>
    public long FramedGradient => (long)FrameHeight * FrameWidth * Shape.OutputChannels;

    /// <summary>Floats of scratch that a unit's framed gradient takes; none where it is read as it lies.</summary>
    public long GradientScratch => NeedsGradientFrame ? UnitImages * FramedGradient : 0;

    public override long ScratchLength => Math.Max(InputScratch, GradientScratch);

    public override long SumsLength => Shape.Groups * WeightProduct.SumsLength(_kernels, InnerTaps, InnerChannels, Shape.GroupOutputs);

    public override bool SharesOutWeights(int images) => images * (PreparedImage + (long)Shape.OutputArea * Shape.OutputChannels) < SumsLength;

    public override ConvolutionKernel NewKernel(CpuBackend backend) => new DirectConvolution(backend, this);

    public PixelLayout Forward { get; }

    public int MarginTop { get; }

    public int MarginLeft { get; }

    public int FrameHeight { get; }

    public int FrameWidth { get; }

    public bool NeedsGradientFrame => FrameHeight != Shape.OutputHeight || FrameWidth != Shape.OutputWidth;

    /// <summary>Gradient by input, by phases: pixels with the same remainder by the stride use the same taps.</summary>
    public IReadOnlyList<ConvolutionPhase> Phases { get; }

    private static int ChooseUnit(int pixels, int rows)
    {
        const int Enough = 256, AtLeast = 64;
        if (pixels >= Enough)
            return 1;
        int least = (AtLeast + pixels - 1) / pixels;
        for (int images = least; images < least + rows; images++)
        {
            if (images * pixels % rows == 0)
                return images;
        }
        return least;
    }

    private PixelLayout BuildForward()
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
            return PixelLayout.Create(inputs, outputs, [0]);
        for (int ky = 0; ky < shape.KernelHeight; ky++)
        {
            for (int kx = 0; kx < shape.KernelWidth; kx++)
                taps.Add((ky * PaddedWidth + kx) * shape.Channels);
        }
        return PixelLayout.Create(inputs, outputs, taps);
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
                    int y = i / shape.Width % shape.Height + shape.Padding, x = i % shape.Width + shape.Padding;
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
                        taps.Add(-(j * FrameWidth + i) * shape.OutputChannels);
                        kernelTaps.Add(ky * shape.KernelWidth + kx);
                    }
                }
                phases.Add(new ConvolutionPhase(PixelLayout.Create(inputs, outputs, taps), [.. kernelTaps]));
            }
        }
        return phases;
    }
}

/// <summary>Input pixels whose gradients read the same kernel taps.</summary>
/// <param name="Layout">Where they lie.</param>
/// <param name="KernelTaps">Their taps' positions in the kernel, row-major.</param>
internal sealed record ConvolutionPhase(PixelLayout Layout, int[] KernelTaps);
