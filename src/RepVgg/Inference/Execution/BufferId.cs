namespace RepVgg.Inference.Execution;

/// <summary>Indices of the buffers in a <see cref="Window"/>.</summary>
internal enum BufferId
{
    /// <summary>The normalised input.</summary>
    Input,

    /// <summary>The Winograd-transformed input tiles of the current layer.</summary>
    Transformed,

    /// <summary>The current layer's sums in the Winograd domain, when several threads compute the sums of one panel.</summary>
    Sums,

    /// <summary>
    /// Number of finished pieces of each panel and chunk in <see cref="Sums"/>: 32-bit integers, each in its own cache line.
    /// All counters are zero between layers.
    /// </summary>
    Counters,

    /// <summary>Per-channel averages of a map (global average pooling).</summary>
    Pooled,

    /// <summary>Per-channel factors of a squeeze-and-excitation module.</summary>
    Gates,

    /// <summary>The first activation map; higher indices are the other maps.</summary>
    FirstMap,
}
