using RepVgg.Networks;
using RepVgg.Runtime.Threading;

namespace RepVgg.Inference.Execution;

/// <summary>A sequence of steps and the sizes of the buffers that they use.</summary>
/// <param name="Steps">Steps in order of execution.</param>
/// <param name="BufferFloats">For each <see cref="BufferId"/>, the number of floats for one image; 0 if the stage does not own the buffer.</param>
internal sealed record Stage(Step[] Steps, long[] BufferFloats);

/// <summary>The execution plan of a network: its steps and their memory requirements, in two stages.</summary>
/// <param name="Leading">
/// Steps whose filters are small compared to their maps. If the batch is large enough, each thread runs all of them on a few
/// images at a time, so that the maps stay in the thread's cache between steps.
/// </param>
/// <param name="Trailing">Steps that run on the whole batch, so that each filter is read from memory once for all images.</param>
/// <param name="Between">
/// The buffer with the output of the leading stage, which is the input of the trailing stage. It is allocated with the
/// buffers of the trailing stage.
/// </param>
/// <param name="ImagesTogether">Maximum number of images that a thread runs through the leading stage together.</param>
/// <param name="InputLength">Pixel values of one image: channels * height * width.</param>
/// <param name="ScratchFloats">Floats of private scratch memory per worker.</param>
/// <param name="Weights">Memory of the steps' packed weights; the plan owns it.</param>
internal sealed record Plan(
    Stage Leading, Stage Trailing, BufferId Between, int ImagesTogether, int InputLength, long ScratchFloats, NativeArena Weights) : IDisposable
{
    /// <summary>All steps in order of execution.</summary>
    public Step[] Steps { get; } = [.. Leading.Steps, .. Trailing.Steps];

    /// <summary>Packs the network's weights and, in parallel, runs every kind of step once so that the JIT compiles its kernels (JIT warm-up).</summary>
    /// <param name="network">The network that the plan was built for.</param>
    /// <param name="threads">Maximum number of threads.</param>
    /// <param name="workspace">Memory for the warm-up; the contents of its buffers are undefined afterwards.</param>
    public unsafe void Fill(NetworkSource network, int threads, Workspace workspace)
    {
        var parts = Weights.Filling;
        var rehearsals = workspace.Rehearsals();
        var rooms = new float[threads][];
        Array.Fill(rooms, []);
        fixed (float* pixels = new float[network.InputLength], logits = new float[network.OutputLength])
        {
            workspace.Open(pixels, logits, 1);
            // In reverse order, because the last layers have the most weights.
            new ParallelLoop(threads).Run(parts.Count + rehearsals.Count, (item, worker) =>
            {
                if (item < parts.Count)
                    parts[parts.Count - 1 - item](ref rooms[worker]);
                else
                    workspace.Rehearse(rehearsals[parts.Count + rehearsals.Count - 1 - item], worker);
            });
        }
        workspace.ClearCounters();
        parts.Clear();
    }

    public void Dispose() => Weights.Dispose();
}
