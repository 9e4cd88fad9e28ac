using RepVgg.Architectures;
using RepVgg.Diagnostics;
using RepVgg.Reparameterization;
using RepVgg.Training;
using RepVgg.Weights.Naming;

namespace RepVgg.Tool.Ablation;

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
