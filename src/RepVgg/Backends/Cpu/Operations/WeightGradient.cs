using RepVgg.Backends.Cpu.Execution;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Computes the weight gradient of one convolution in one backward pass, with parallelism either over chunks of the batch or over weights.</summary>
internal sealed unsafe class WeightGradient(CpuContext context, ConvolutionExecutor convolution, CpuTensor weights, int images) : IDisposable
{
    private ChunkedBuffer? _sums;

    /// <summary>False if the weights require no gradient; nothing is computed then.</summary>
    public bool IsRequired => weights.RequiresGradient;

    /// <summary>Whether <see cref="Finish"/> needs the output gradients of the whole batch.</summary>
    public bool NeedsBatch { get; } = weights.RequiresGradient && convolution.Plan.ParallelizesOverWeights(images);

    /// <summary>Number of floats of sums per chunk.</summary>
    public long SumsLength => IsRequired && !NeedsBatch ? convolution.Plan.SumsLength : 0;

    /// <summary>Allocates the sums of the chunks.</summary>
    public void Begin(int chunks) => _sums = new ChunkedBuffer(context.Pool, chunks, SumsLength);

    public void Clear(int chunk) => _sums!.Clear(chunk);

    /// <summary>Adds the contribution of a unit of images.</summary>
    public void Add(int chunk, float* input, float* gradient, int unitImages, float* workspace)
    {
        if (SumsLength > 0)
            convolution.WeightGradient(convolution.PrepareInput(input, unitImages, workspace), gradient, unitImages, _sums![chunk], workspace);
    }

    /// <summary>Writes the weight gradient.</summary>
    /// <param name="input">The input of the whole batch.</param>
    /// <param name="gradient">The output gradients of the whole batch; used only if <see cref="NeedsBatch"/> is true.</param>
    public void Finish(float* input, float* gradient)
    {
        if (!IsRequired)
            return;
        float* to = weights.GradientForWriting(out bool accumulate);
        if (NeedsBatch)
            convolution.WeightGradientOfBatch(input, gradient, images, to, accumulate);
        else
            convolution.ReduceWeightGradient(_sums!, to, accumulate);
    }

    public void Dispose() => _sums?.Dispose();
}
