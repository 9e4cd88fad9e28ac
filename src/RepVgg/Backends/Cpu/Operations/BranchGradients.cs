using RepVgg.Backends.Cpu.Memory;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Where a branch's gradients go: to a worker's scratch, used at once and forgotten, or to a map of the whole batch.</summary>
internal sealed unsafe class BranchGradients(CpuBackend backend, bool keepsBatch, int images, int unitImages, long imageSize) : IDisposable
{
    private readonly Sums _batch = new(backend.Pool, 1, keepsBatch ? images * imageSize : 0);
    private readonly WorkerScratch _scratch = new(backend, keepsBatch ? 0 : unitImages * imageSize);

    /// <summary>The whole batch's gradients; null if they are not kept.</summary>
    public float* Batch => _batch[0];

    /// <summary>Where the unit that starts at an image goes.</summary>
    public float* At(int image, int worker) => keepsBatch ? Batch + image * imageSize : _scratch[worker];

    public void Dispose()
    {
        _batch.Dispose();
        _scratch.Dispose();
    }
}
