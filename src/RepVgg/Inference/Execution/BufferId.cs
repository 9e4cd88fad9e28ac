namespace RepVgg.Inference.Execution;

/// <summary>Numbers of the buffers in a <see cref="Window"/>.</summary>
internal enum BufferId
{
    /// <summary>The normalised input.</summary>
    Input,

    /// <summary>Winograd transforms of one layer's input.</summary>
    Transformed,

    /// <summary>One layer's sums in Winograd's domain, where several threads make them.</summary>
    Sums,

    /// <summary>Counts of what is done of them: integers, each in a cache line of its own; zero between layers.</summary>
    Counters,

    /// <summary>Per-channel averages.</summary>
    Pooled,

    /// <summary>Per-channel factors of a squeeze-and-excitation.</summary>
    Gates,

    /// <summary>The first of the maps.</summary>
    FirstMap,
}
