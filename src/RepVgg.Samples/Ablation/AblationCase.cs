using RepVgg.Architectures;
using RepVgg.Diagnostics;
using RepVgg.Reparameterization;
using RepVgg.Training;
using RepVgg.Weights.Naming;

namespace RepVgg.Samples.Ablation;

/// <summary>One row of the table: a network in one training form, and how it is trained.</summary>
/// <param name="Name">Name of the row, usually that of the training form.</param>
/// <param name="Architecture">The network.</param>
/// <param name="Options">The training options. The seed is that of each run.</param>
internal sealed record AblationCase(string Name, RepVggArchitecture Architecture, TrainingOptions Options)
{
    /// <summary>Whether the network fuses into plain 3x3 convolutions.</summary>
    public bool Fuses => Fusion.CanFuse(Architecture.TrainingForm);

    /// <summary>Counts the parameters of the training form and of the deploy form.</summary>
    /// <param name="classes">Number of classes.</param>
    /// <param name="height">Image height in pixels.</param>
    /// <param name="width">Image width in pixels.</param>
    /// <returns>The numbers; null for the deploy form of a network that does not fuse.</returns>
    public (long Training, long? Deploy) CountParameters(int classes, int height, int width)
    {
        return (Count(WeightsForm.Training), Fuses ? Count(WeightsForm.Deploy) : null);

        long Count(WeightsForm form) => ModelStatistics.Of(Architecture, form, classes, height, width).Parameters;
    }
}

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
