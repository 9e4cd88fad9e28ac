using RepVgg.Threading;

namespace RepVgg.Inference.Execution;

/// <summary>The steps of a network in order, and the buffers that they need.</summary>
/// <param name="Steps">In order of execution.</param>
/// <param name="BufferFloats">Per shared buffer: floats for one image.</param>
/// <param name="ScratchFloats">Floats of private scratch for one worker.</param>
/// <param name="Weights">Where the steps' weights lie; the plan owns it.</param>
internal sealed record Plan(Step[] Steps, long[] BufferFloats, long ScratchFloats, NativeArena Weights) : IDisposable
{
    /// <summary>Fills in the weights, and has the kernels compiled meanwhile.</summary>
    /// <param name="threads">Threads that share the work; one leaves compiling to the first run.</param>
    /// <param name="workspace">For one image; its buffers hold meaningless numbers afterwards, as they do after any run.</param>
    public void Fill(int threads, Workspace? workspace)
    {
        var rehearsals = threads == 1 || workspace is null ? [] : FirstOfEachType();
        var parts = Weights.Filling;
        new ParallelLoop(threads).Run(rehearsals.Count + parts.Count, (item, worker) =>
        {
            if (item < rehearsals.Count)
                workspace!.Rehearse(rehearsals[item], worker);
            else
                parts[parts.Count - 1 - (item - rehearsals.Count)](); // the last are the largest
        });
        parts.Clear();
    }

    public void Dispose() => Weights.Dispose();

    private List<Step> FirstOfEachType()
    {
        var first = new List<Step>();
        foreach (var step in Steps)
        {
            bool known = false;
            foreach (var other in first)
                known |= other.GetType() == step.GetType();
            if (!known)
                first.Add(step);
        }
        return first;
    }
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
