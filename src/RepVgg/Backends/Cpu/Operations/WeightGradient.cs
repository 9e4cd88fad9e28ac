using RepVgg.Backends.Cpu.Memory;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>The gradient by one convolution's weights in one backward pass: summed by chunks of the batch, or by weights.</summary>
internal sealed unsafe class WeightGradient(CpuBackend backend, ConvolutionKernel convolution, CpuTensor weights, int images) : IDisposable
{
    private Sums? _sums;

    /// <summary>False: the weights ask for no gradient, and nothing is done.</summary>
    public bool IsWanted => weights.RequiresGradient;

    /// <summary>True: the gradients of the whole batch are needed at the end.</summary>
    public bool NeedsBatch { get; } = weights.RequiresGradient && convolution.Plan.SharesOutWeights(images);

    /// <summary>Floats of sums per chunk.</summary>
    public long SumsLength => IsWanted && !NeedsBatch ? convolution.Plan.SumsLength : 0;

    /// <summary>Makes room for the chunks' sums.</summary>
    public void Begin(int chunks) => _sums = new Sums(backend.Pool, chunks, SumsLength);

    public void Clear(int chunk) => _sums!.Clear(chunk);

    /// <summary>Adds a unit's share.</summary>
    public void Add(int chunk, float* input, float* gradient, int unitImages, float* scratch)
    {
        if (SumsLength > 0)
            convolution.WeightGradient(convolution.PrepareInput(input, unitImages, scratch), gradient, unitImages, _sums![chunk], scratch);
    }

    /// <summary>Writes the gradient.</summary>
    /// <param name="input">The whole batch.</param>
    /// <param name="gradient">The whole batch's gradients where <see cref="NeedsBatch"/> says so.</param>
    public void Finish(float* input, float* gradient)
    {
        if (!IsWanted)
            return;
        float* to = weights.GradientForWriting(out bool accumulate);
        if (NeedsBatch)
            convolution.WeightGradientOfBatch(input, gradient, images, to, accumulate);
        else
            convolution.ReduceWeightGradient(_sums!, to, accumulate);
    }

    public void Dispose() => _sums?.Dispose();
}
