namespace RepVgg.Training;

/// <summary>The metric by which weights are compared.</summary>
public enum TrainingMetric
{
    /// <summary>
    /// Share of correctly classified images, or for segmentation of correctly classified pixels; higher is better. If it is used as <see cref="TrainingOptions.MonitoredMetric"/>, equal
    /// accuracies are compared by the validation loss.
    /// </summary>
    Accuracy,

    /// <summary>Mean cross-entropy in nats; lower is better.</summary>
    Loss,

    /// <summary>Mean intersection over union of the classes, for segmentation; higher is better. Equal values are compared by the validation loss.</summary>
    MeanIoU,
}
