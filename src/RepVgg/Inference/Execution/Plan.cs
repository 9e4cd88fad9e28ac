using RepVgg.Runtime.Memory;
using RepVgg.Runtime.Threading;

namespace RepVgg.Inference.Execution;

/// <summary>The execution plan of a network: its steps and their memory requirements, in two stages.</summary>
/// <param name="Leading">
/// Steps whose filters are small compared to their maps. If the batch is large enough, each thread runs all of them on a few
/// images at a time, so that the maps stay in the thread's cache between steps.
/// </param>
/// <param name="Trailing">Steps that run on the whole batch, so that each filter is read from memory once for all images.</param>
/// <param name="StageBoundary">
/// The buffer with the output of the leading stage, which is the input of the trailing stage. It is allocated with the
/// buffers of the trailing stage.
/// </param>
/// <param name="ImagesPerGroup">Maximum number of images that a thread runs through the leading stage together.</param>
/// <param name="InputLength">Pixel values of one image: channels * height * width.</param>
/// <param name="OutputLength">Results of one image: logits or features.</param>
/// <param name="WorkspaceFloats">Floats of private workspace per worker.</param>
/// <param name="Weights">Memory of the steps' packed weights; the plan owns it.</param>
internal sealed record Plan(
    Stage Leading, Stage Trailing, BufferId StageBoundary, int ImagesPerGroup, int InputLength, int OutputLength, long WorkspaceFloats,
    WeightArena Weights) : IDisposable
{
    /// <summary>All steps in order of execution.</summary>
    public Step[] Steps { get; } = [.. Leading.Steps, .. Trailing.Steps];

    /// <summary>Computes the size in bytes of the memory for one image: the workspace, the pixels and the results.</summary>
    /// <param name="threads">Maximum number of threads.</param>
    public double BytesOfOneImage(int threads) => (Workspace.CountFloats(this, 1, threads) + InputLength + OutputLength) * sizeof(float);

    /// <summary>Packs the network's weights and, in parallel, runs every kind of step once so that the JIT compiles its kernels (JIT warm-up).</summary>
    /// <param name="threads">Maximum number of threads.</param>
    /// <param name="workspace">Memory for the warm-up; the contents of its buffers are undefined afterwards.</param>
    public unsafe void PackWeights(int threads, Workspace workspace)
    {
        var packers = Weights.Packers;
        var warmups = workspace.WarmupSteps();
        var readBuffers = new float[threads][];
        Array.Fill(readBuffers, []);
        using NativeBuffer pixels = new(InputLength), results = new(OutputLength);
        workspace.SetImages(pixels.Pointer, results.Pointer, 1);
        // In reverse order, because the last layers have the most weights.
        new ParallelLoop(threads).Run(packers.Count + warmups.Count, (item, worker) =>
        {
            if (item < packers.Count)
                packers[packers.Count - 1 - item](ref readBuffers[worker]);
            else
                workspace.WarmUp(warmups[packers.Count + warmups.Count - 1 - item], worker);
        });
        packers.Clear();
    }

    public void Dispose() => Weights.Dispose();
}

/// <summary>A sequence of steps and the sizes of the buffers that they use.</summary>
/// <param name="Steps">Steps in order of execution.</param>
/// <param name="BufferFloats">For each <see cref="BufferId"/>, the number of floats for one image; 0 if the stage does not own the buffer.</param>
internal sealed record Stage(Step[] Steps, long[] BufferFloats);

/// <summary>Collects the steps and the buffer sizes of a <see cref="Stage"/>.</summary>
internal sealed class StageBuilder
{
    private readonly List<long> _bufferFloats = [];

    /// <summary>The steps added so far, in order of execution.</summary>
    public List<Step> Steps { get; } = [];

    /// <summary>Sets the size of a buffer to at least the given number of floats per image.</summary>
    public void Reserve(BufferId buffer, long floats)
    {
        while (_bufferFloats.Count <= (int)buffer)
            _bufferFloats.Add(0);
        _bufferFloats[(int)buffer] = Math.Max(_bufferFloats[(int)buffer], floats);
    }

    /// <summary>Sets the size of a buffer to 0, because its memory is allocated by another stage.</summary>
    public void Release(BufferId buffer)
    {
        if ((int)buffer < _bufferFloats.Count)
            _bufferFloats[(int)buffer] = 0;
    }

    /// <summary>Builds the stage.</summary>
    /// <param name="buffers">Number of buffers of the network.</param>
    public Stage Build(int buffers)
    {
        Reserve((BufferId)(buffers - 1), 0);
        return new Stage([.. Steps], [.. _bufferFloats]);
    }
}
