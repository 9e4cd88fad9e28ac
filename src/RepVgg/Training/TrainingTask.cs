using System.Text.Json.Nodes;
using RepVgg.Architectures;
using RepVgg.Backends;

namespace RepVgg.Training;

/// <summary>What a run teaches a network: the images and their targets, the loss of the logits, and the metrics.</summary>
internal abstract class TrainingTask : IDisposable
{
    /// <summary>Number of training images.</summary>
    public abstract int TrainingCount { get; }

    /// <summary>Number of validation images; 0 without a validation set.</summary>
    public abstract int ValidationCount { get; }

    /// <summary>Height and width of the images of a batch, in pixels.</summary>
    public abstract (int Height, int Width) ImageSize { get; }

    /// <summary>Applied to every image before the network.</summary>
    public abstract Normalization Normalization { get; }

    /// <summary>Whether the network has so many classes that <see cref="PassMetrics.Top5Accuracy"/> says something.</summary>
    public virtual bool HasTop5Accuracy => false;

    /// <summary>Number of pixels of the training images of an epoch, relative to the full size. The time of a step is about proportional to it.</summary>
    public virtual double ShareOfPixels(int epoch) => 1;

    /// <summary>Creates the loader of a training pass.</summary>
    /// <param name="epoch">The epoch, from 1, which determines the order and the augmentation.</param>
    /// <param name="epochOfOptions">The epoch whose image size and mixing the pass has.</param>
    public abstract BatchLoader CreateTrainingLoader(int epoch, int epochOfOptions);

    /// <summary>Creates the loader of a validation pass.</summary>
    public abstract BatchLoader CreateValidationLoader();

    /// <summary>Computes the loss of a training batch, within a step of the backend, and adds the batch to the metrics.</summary>
    /// <param name="logits">The logits of the main head.</param>
    /// <param name="auxiliary">The logits of the auxiliary heads.</param>
    /// <param name="batch">A batch of the loader.</param>
    /// <returns>A scalar.</returns>
    public abstract Tensor Loss(Tensor logits, IReadOnlyList<Tensor> auxiliary, Batch batch);

    /// <summary>Adds a validation batch to the metrics, within a step of the backend.</summary>
    public abstract void Evaluate(Tensor logits, Batch batch);

    /// <summary>Waits for the device and adds the metrics since the last call to those of a pass.</summary>
    /// <param name="pass">The metrics of the pass.</param>
    /// <returns>Mean loss of the batches since the last call.</returns>
    public abstract double ReadMetrics(PassMetrics pass);

    /// <summary>Describes the data, on which the result of the run depends. All images are read once, except those whose hash is known.</summary>
    /// <param name="cancellation">Checked at every image.</param>
    /// <returns>The description; null if the call was cancelled.</returns>
    public abstract JsonObject? Describe(CancellationToken cancellation);

    /// <summary>Creates what looks for the reason of a divergence; null if there is nothing that does.</summary>
    public virtual DivergenceDiagnosis? CreateDiagnosis(CancellationToken cancellation) => null;

    /// <inheritdoc/>
    public abstract void Dispose();
}
