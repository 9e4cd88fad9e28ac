namespace RepVgg.Inference.Execution;

/// <summary>The steps of a network in order, and the buffers that they need.</summary>
/// <param name="Steps">In order of execution.</param>
/// <param name="BufferFloats">Per shared buffer: floats for one image.</param>
/// <param name="ScratchFloats">Floats of private scratch for one worker.</param>
/// <param name="Weights">Where the steps' weights lie; the plan owns it.</param>
internal sealed record Plan(Step[] Steps, long[] BufferFloats, long ScratchFloats, NativeArena Weights) : IDisposable
{
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
