using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>How one shape of convolution is computed: its tables, made once and kept.</summary>
internal abstract class ConvolutionPlan(ConvolutionShape shape, int unitImages)
{
    public ConvolutionShape Shape => shape;

    /// <summary>Images that are computed together: few enough to stay in the second-level cache, enough to fill tiles.</summary>
    public int UnitImages => unitImages;

    /// <summary>Floats of scratch that a worker needs.</summary>
    public abstract long ScratchLength { get; }

    /// <summary>Floats of one set of weight-gradient sums.</summary>
    public abstract long SumsLength { get; }

    /// <summary>
    /// Whether the gradient by weights is better shared out by weights, with the whole batch laid out at once, than by images,
    /// with a set of sums for every chunk of them.
    /// </summary>
    public abstract bool SharesOutWeights(int images);

    /// <summary>The computation itself, for one operation of one step.</summary>
    public abstract ConvolutionKernel NewKernel(CpuBackend backend);

    /// <summary>Picks the way to compute a shape.</summary>
    /// <param name="kernels">The inner products of this machine.</param>
    /// <param name="shape">What to compute.</param>
    /// <param name="unitImages">How many images to compute together; 0 for the plan's own choice.</param>
    public static ConvolutionPlan Choose(TileKernels kernels, ConvolutionShape shape, int unitImages) =>
        WinogradPlan.Suits(shape) ? new WinogradPlan(kernels, shape, unitImages) : new DirectPlan(kernels, shape, unitImages);
}
