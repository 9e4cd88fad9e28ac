using RepVgg.Networks;
using RepVgg.Threading;

namespace RepVgg.Inference.Execution;

/// <summary>Steps in order, and the buffers that they need.</summary>
/// <param name="Steps">In order of execution.</param>
/// <param name="BufferFloats">Per buffer: floats for one image, 0 if they don't use it.</param>
internal sealed record Stage(Step[] Steps, long[] BufferFloats);

/// <summary>The steps of a network and the memory that they need, in two stages.</summary>
/// <param name="Leading">
/// Steps whose filters are small beside their maps: where there are images enough, each thread does them for a few
/// images at a time, which stay in its cache from step to step.
/// </param>
/// <param name="Trailing">Steps that read each filter once for all images.</param>
/// <param name="Between">The buffer that the first stage leaves its results in; it belongs to both.</param>
/// <param name="ImagesTogether">Images that should go through the first stage together.</param>
/// <param name="InputLength">Pixel values of one image.</param>
/// <param name="ScratchFloats">Floats of private scratch for one worker.</param>
/// <param name="Weights">Where the steps' weights lie; the plan owns it.</param>
internal sealed record Plan(
    Stage Leading, Stage Trailing, BufferId Between, int ImagesTogether, int InputLength, long ScratchFloats, NativeArena Weights) : IDisposable
{
    /// <summary>All steps, in order.</summary>
    public Step[] Steps { get; } = [.. Leading.Steps, .. Trailing.Steps];

    /// <summary>Fills in the weights, and has the kernels that the network needs compiled meanwhile.</summary>
    /// <param name="network">What the plan was made for.</param>
    /// <param name="threads">Threads that share the work.</param>
    /// <param name="workspace">Its buffers hold meaningless numbers afterwards, as they do after any run.</param>
    public unsafe void Fill(NetworkSource network, int threads, Workspace workspace)
    {
        var parts = Weights.Filling;
        var rehearsals = workspace.Rehearsals();
        var rooms = new float[threads][];
        Array.Fill(rooms, []);
        fixed (float* pixels = new float[network.InputLength], logits = new float[network.OutputLength])
        {
            workspace.Open(pixels, logits, 1);
            // From the last layer, which is the largest, to the first.
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
