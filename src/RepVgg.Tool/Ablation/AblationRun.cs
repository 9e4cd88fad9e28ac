namespace RepVgg.Tool.Ablation;

/// <summary>The result of training one case with one seed.</summary>
/// <param name="Case">What was trained.</param>
/// <param name="Seed">Seed of the weights, shuffling and augmentation.</param>
internal sealed record AblationRun(AblationCase Case, int Seed)
{
    /// <summary>Share of the test images that the network classifies correctly: the fused one, or the training form of a network that does not fuse. NaN if the run failed.</summary>
    public double Accuracy { get; init; } = double.NaN;

    /// <summary>Training images per second of every epoch, without evaluation.</summary>
    public IReadOnlyList<double> ImagesPerSecond { get; init; } = [];

    /// <summary>Processor time of this process per training image of every epoch, in milliseconds, without evaluation. Other programs on the machine hardly change it.</summary>
    public IReadOnlyList<double> ProcessorMilliseconds { get; init; } = [];

    /// <summary>Largest relative difference between the training form and the fused network on random images; null if the network does not fuse or the run failed.</summary>
    public double? FusedDifference { get; init; }

    /// <summary>Why the run failed; null if it did not.</summary>
    public string? Failure { get; init; }
}
