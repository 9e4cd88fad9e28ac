using RepVgg.Backends.Cpu.Execution;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The computation of one convolution in one step: packed weights, and passes over units of a few images.</summary>
/// <remarks>
/// The methods with a workspace parameter process one unit on the calling thread; the caller divides the batch into units and
/// processes them in parallel. The methods for a whole batch are for plans that parallelize over weights, and need no packed weights. The workspace belongs to one worker thread and has
/// <see cref="ConvolutionPlan.WorkspaceLength"/> floats. Maps are [pixels, channels].
/// </remarks>
internal abstract unsafe class ConvolutionExecutor : IDisposable
{
    /// <summary>The tables of the convolution.</summary>
    public abstract ConvolutionPlan Plan { get; }

    /// <summary>Packs OIHW weights for <see cref="Forward"/>.</summary>
    public abstract void PackForward(float* weights);

    /// <summary>Packs OIHW weights for <see cref="InputGradient"/>.</summary>
    public abstract void PackBackward(float* weights);

    /// <summary>
    /// Converts the images of a unit to the layout that the kernels read. Returns a pointer into the workspace, or the
    /// input itself if no conversion is needed.
    /// </summary>
    public abstract float* PrepareInput(float* input, int images, float* workspace);

    /// <summary>Computes the output of a unit from the result of <see cref="PrepareInput"/> with the same workspace.</summary>
    public abstract void Forward(float* prepared, int images, float* output, float* workspace);

    /// <summary>Adds the contribution of a unit to the sums of the weight gradient. The result of <see cref="PrepareInput"/> is not changed.</summary>
    public abstract void WeightGradient(float* prepared, float* gradient, int images, float* sums, float* workspace);

    /// <summary>Computes the input gradient of a unit. Overwrites the result of <see cref="PrepareInput"/> in the workspace.</summary>
    public abstract void InputGradient(float* gradient, int images, float* workspace, float* inputGradient, bool accumulate);

    /// <summary>Adds the sums of all chunks, in the order of the chunks, and writes the OIHW weight gradient.</summary>
    public abstract void ReduceWeightGradient(ChunkedBuffer sums, float* weightGradient, bool accumulate);

    /// <summary>Computes the output of a whole batch with parallelism over weights, from OIHW weights.</summary>
    public abstract void ForwardOfBatch(float* weights, float* input, int images, float* output);

    /// <summary>Computes the input gradient of a whole batch with parallelism over weights, from OIHW weights.</summary>
    public abstract void InputGradientOfBatch(float* weights, float* gradient, int images, float* inputGradient, bool accumulate);

    /// <summary>Computes the OIHW weight gradient of a whole batch with parallelism over weights.</summary>
    public abstract void WeightGradientOfBatch(float* input, float* gradient, int images, float* weightGradient, bool accumulate);

    public abstract void Dispose();
}
