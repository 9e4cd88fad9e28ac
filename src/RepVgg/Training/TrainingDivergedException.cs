namespace RepVgg.Training;

/// <summary>
/// The exception that is thrown when training diverges: the loss or a weight is not finite, or the loss stays far above the
/// loss of uniform predictions. The weights cannot be used.
/// </summary>
public sealed class TrainingDivergedException : InvalidOperationException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="epoch">The epoch, from 1.</param>
    /// <param name="step">The step within the epoch, from 1.</param>
    /// <param name="loss">The loss at which divergence was detected; NaN if a weight is not finite.</param>
    /// <param name="learningRate">The learning rate of the latest update.</param>
    public TrainingDivergedException(int epoch, int step, double loss, float learningRate)
        : this(epoch, step, loss, learningRate, FormattableString.Invariant($"Use a smaller learning rate (try {learningRate / 10:g2}), a longer warm-up, or check the normalisation of the images."))
    {
    }

    internal TrainingDivergedException(int epoch, int step, double loss, float learningRate, string advice)
        : base(FormattableString.Invariant($"Training diverged in epoch {epoch}, step {step}: the loss is {loss:g4} at learning rate {learningRate:g4}. {advice}"))
    {
        (Epoch, Step, Loss, LearningRate, Advice) = (epoch, step, loss, learningRate, advice);
    }

    /// <summary>The epoch, from 1.</summary>
    public int Epoch { get; }

    /// <summary>The step within the epoch, from 1.</summary>
    public int Step { get; }

    /// <summary>The loss at which divergence was detected; NaN if a weight is not finite.</summary>
    public double Loss { get; }

    /// <summary>The learning rate of the latest update.</summary>
    public float LearningRate { get; }

    /// <summary>Whether the device was found to compute wrong numbers: its results differ from those of the CPU backend for the same weights and images.</summary>
    public bool DeviceComputesWrongNumbers { get; internal init; }

    internal string Advice { get; }
}
