namespace RepVgg.Training;

/// <summary>What is measured to tell good weights from better ones.</summary>
public enum TrainingMetric
{
    /// <summary>Share of correctly classified images; more is better. Equal accuracies are told apart by the loss.</summary>
    Accuracy,

    /// <summary>Mean cross-entropy in nats; less is better.</summary>
    Loss,
}
