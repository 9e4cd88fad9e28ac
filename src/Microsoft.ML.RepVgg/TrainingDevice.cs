namespace Microsoft.ML.RepVgg;

/// <summary>Where a network is trained. Scoring always runs on the CPU engine of this library.</summary>
public enum TrainingDevice
{
    /// <summary>The best that is there.</summary>
    Auto,

    /// <summary>The CPU backend of this library.</summary>
    Cpu,
}
