namespace RepVgg.Training;

/// <summary>The metric by which weights are compared.</summary>
public enum TrainingMetric
{
    /// <summary>Share of correctly classified images; higher is better. As <see cref="TrainingOptions.BestBy"/>, the lower validation loss decides between equal accuracies.</summary>
    Accuracy,

    /// <summary>Mean cross-entropy in nats; lower is better.</summary>
    Loss,
}
