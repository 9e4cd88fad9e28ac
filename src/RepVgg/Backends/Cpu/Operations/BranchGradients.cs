using RepVgg.Backends.Cpu.Execution;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>
/// Memory for the gradients with respect to the output of one branch: either the workspace of a worker thread, reused for
/// every unit of images, or a map of the whole batch.
/// </summary>
internal sealed unsafe class BranchGradients(CpuContext context, bool keepsBatch, int images, int unitImages, long imageSize) : IDisposable
{
    private readonly Sums _batch = new(context.Pool, 1, keepsBatch ? images * imageSize : 0);
    private readonly WorkerScratch _scratch = new(context, keepsBatch ? 0 : unitImages * imageSize);

    /// <summary>The gradients of the whole batch; null if they are not kept.</summary>
    public float* Batch => _batch[0];

    /// <summary>Returns the memory for the unit that starts at an image.</summary>
    public float* At(int image, int worker) => keepsBatch ? Batch + image * imageSize : _scratch[worker];

    public void Dispose()
    {
        _batch.Dispose();
        _scratch.Dispose();
    }
}
