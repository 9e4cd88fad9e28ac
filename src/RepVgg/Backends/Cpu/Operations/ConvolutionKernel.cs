using RepVgg.Backends.Cpu.Memory;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>One convolution of one step: packed weights, and passes over units of a few images, without batch or threads.</summary>
/// <remarks>Scratch is one worker's, as long as the plan says. Maps are [pixels, channels].</remarks>
internal abstract unsafe class ConvolutionKernel : IDisposable
{
    /// <summary>The tables that it works by.</summary>
    public abstract ConvolutionPlan Plan { get; }

    /// <summary>Packs OIHW weights for <see cref="Forward"/>.</summary>
    public abstract void PackForward(float* weights);

    /// <summary>Packs OIHW weights for <see cref="InputGradient"/>.</summary>
    public abstract void PackBackward(float* weights);

    /// <summary>Lays a unit's images out as the kernels read them, in the scratch or where they are.</summary>
    public abstract float* PrepareInput(float* input, int images, float* scratch);

    /// <summary>Computes a unit from what <see cref="PrepareInput"/> gave with the same scratch.</summary>
    public abstract void Forward(float* prepared, int images, float* output, float* scratch);

    /// <summary>Adds a unit's share of the gradient by weights to the sums; leaves what <see cref="PrepareInput"/> gave.</summary>
    public abstract void WeightGradient(float* prepared, float* gradient, int images, float* sums, float* scratch);

    /// <summary>A unit's gradient by input; overwrites what <see cref="PrepareInput"/> gave.</summary>
    public abstract void InputGradient(float* gradient, int images, float* scratch, float* inputGradient, bool accumulate);

    /// <summary>Adds up the sums of all chunks, in their order, into the OIHW gradient.</summary>
    public abstract void ReduceWeightGradient(Sums sums, float* weightGradient, bool accumulate);

    /// <summary>The gradient by weights of a whole batch at once, without sums per chunk: for few pixels and many weights.</summary>
    public abstract void WeightGradientOfBatch(float* input, float* gradient, int images, float* weightGradient, bool accumulate);

    public abstract void Dispose();
}
