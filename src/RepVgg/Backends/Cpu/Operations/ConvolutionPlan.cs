using RepVgg.Architectures;
using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The method and the tables for convolutions of one shape. A plan is created once per shape and cached.</summary>
internal abstract class ConvolutionPlan(ConvolutionShape shape, int unitImages)
{
    public ConvolutionShape Shape => shape;

    /// <summary>Number of images that are computed together: few enough for the second-level cache, enough to fill register tiles.</summary>
    public int UnitImages => unitImages;

    /// <summary>Floats of the workspace of a worker thread.</summary>
    public abstract long WorkspaceLength { get; }

    /// <summary>Floats of the weight gradient sums of one chunk.</summary>
    public abstract long SumsLength { get; }

    /// <summary>
    /// Whether a whole batch is computed at once with parallelism over weights, because there are few pixels and many weights. Each thread then packs a part of the
    /// weights for itself, or computes a part of their gradient. Otherwise parallelism is over units of images: all threads read the same packed weights, and the
    /// weight gradient has separate sums for every chunk of images.
    /// </summary>
    public abstract bool ParallelizesOverWeights(int images);

    /// <summary>Creates the computation for one operation of one step.</summary>
    public abstract ConvolutionExecutor CreateExecutor(CpuContext context);

    /// <summary>Returns the plan of a convolution, which is created on first use and cached in the context.</summary>
    /// <param name="context">The execution context.</param>
    /// <param name="shape">The shape of the convolution.</param>
    /// <param name="unitImages">Number of images that are computed together; 0 for the default of the plan.</param>
    public static ConvolutionPlan For(CpuContext context, ConvolutionShape shape, int unitImages = 0) => context.GetOrCreate<(ConvolutionShape Shape, int UnitImages), ConvolutionPlan>(
        (shape, unitImages),
        static (context, key) => WinogradPlan.ShouldUse(key.Shape) ? new WinogradPlan(context.Kernels, key.Shape, key.UnitImages) : new DirectPlan(context.Kernels, key.Shape, key.UnitImages));
}

/// <summary>The shape of a convolution, without the number of images. It determines the plan.</summary>
internal readonly record struct ConvolutionShape(int Channels, int Height, int Width, int OutputChannels, int KernelHeight, int KernelWidth, ConvolutionGeometry Geometry)
{
    public int Stride => Geometry.Stride;

    public int Groups => Geometry.Groups;

    public int OutputHeight => Geometry.OutputHeight(Height, KernelHeight);

    public int OutputWidth => Geometry.OutputWidth(Width, KernelWidth);

    public int OutputArea => OutputHeight * OutputWidth;

    public int GroupChannels => Channels / Groups;

    public int GroupOutputs => OutputChannels / Groups;

    public int Taps => KernelHeight * KernelWidth;

    public long WeightCount => (long)OutputChannels * GroupChannels * Taps;
}
