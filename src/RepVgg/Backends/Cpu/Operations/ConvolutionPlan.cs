using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The method and the tables for convolutions of one shape. A plan is created once per shape and cached.</summary>
internal abstract class ConvolutionPlan(ConvolutionShape shape, int unitImages)
{
    public ConvolutionShape Shape => shape;

    /// <summary>Number of images that are computed together: few enough for the second-level cache, enough to fill register tiles.</summary>
    public int UnitImages => unitImages;

    /// <summary>Floats of the workspace of a worker thread.</summary>
    public abstract long ScratchLength { get; }

    /// <summary>Floats of the weight gradient sums of one chunk.</summary>
    public abstract long SumsLength { get; }

    /// <summary>
    /// Whether the weight gradient is computed with parallelism over weights, for which the whole batch is prepared at once,
    /// instead of parallelism over images with separate sums for every chunk.
    /// </summary>
    public abstract bool SharesOutWeights(int images);

    /// <summary>Creates the computation for one operation of one step.</summary>
    public abstract ConvolutionKernel NewKernel(CpuBackend backend);

    /// <summary>Chooses the plan for a shape.</summary>
    /// <param name="kernels">The micro-kernels for the instruction set of this machine.</param>
    /// <param name="shape">The shape of the convolution.</param>
    /// <param name="unitImages">Number of images that are computed together; 0 for the default of the plan.</param>
    public static ConvolutionPlan Choose(TileKernels kernels, ConvolutionShape shape, int unitImages) =>
        WinogradPlan.Suits(shape) ? new WinogradPlan(kernels, shape, unitImages) : new DirectPlan(kernels, shape, unitImages);
}
