using RepVgg.Networks;
using RepVgg.Threading;

namespace RepVgg.Inference.Execution;

/// <summary>The steps of a network in order, and the buffers that they need.</summary>
/// <param name="Steps">In order of execution.</param>
/// <param name="BufferFloats">Per shared buffer: floats for one image.</param>
/// <param name="ScratchFloats">Floats of private scratch for one worker.</param>
/// <param name="Weights">Where the steps' weights lie; the plan owns it.</param>
internal sealed record Plan(Step[] Steps, long[] BufferFloats, long ScratchFloats, NativeArena Weights) : IDisposable
{
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
            workspace.Prepare(pixels, logits);
            // From the last layer, which is the largest, to the first.
            new ParallelLoop(threads).Run(parts.Count + rehearsals.Count, (item, worker) =>
            {
                if (item < parts.Count)
                    parts[parts.Count - 1 - item](ref rooms[worker]);
                else
                    workspace.Rehearse(rehearsals[parts.Count + rehearsals.Count - 1 - item], worker);
            });
        }
        parts.Clear();
    }

    public void Dispose() => Weights.Dispose();
}

/// <summary>Numbers of the shared buffers in a <see cref="Workspace"/>.</summary>
internal enum BufferId
{
    /// <summary>The normalised input.</summary>
    Input,

    /// <summary>Winograd transforms of one layer's input.</summary>
    Transformed,

    /// <summary>Per-channel averages.</summary>
    Pooled,

    /// <summary>Per-channel factors of a squeeze-and-excitation.</summary>
    Gates,

    /// <summary>The first of the maps.</summary>
    FirstMap,
}
