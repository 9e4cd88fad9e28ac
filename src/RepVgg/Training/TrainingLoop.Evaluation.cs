using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Training.Data;

namespace RepVgg.Training;

internal static partial class TrainingLoop
{
    /// <summary>Computes the logits of images in evaluation mode, without augmentation.</summary>
    /// <param name="backend">The backend of the network.</param>
    /// <param name="network">The network.</param>
    /// <param name="images">The images.</param>
    /// <param name="normalization">Applied to every image before the network.</param>
    /// <param name="batchSize">Number of images that are computed at a time.</param>
    /// <param name="cancellationToken">Checked before every batch.</param>
    /// <returns>The logits of each image, in the order of the source; null if the call was cancelled.</returns>
    public static float[][]? Evaluate(Backend backend, TrainingNetwork network, ISampleSource images, Normalization normalization, int batchSize, CancellationToken cancellationToken = default)
    {
        var augmenter = new ImageAugmenter(Augmentation.None, normalization, images.Channels, images.Height, images.Width);
        using var loader = BatchLoader.Evaluation(images, augmenter, batchSize, backend);
        var rows = new List<float[]>(images.Count);
        for (int step = 0; step < loader.Batches; step++)
        {
            if (loader.Next(cancellationToken) is not { } batch)
                return null;
            using var scope = backend.BeginStep(training: false);
            float[] logits = new float[batch.Count * network.Classes];
            backend.CopyOut(network.Forward(backend.CreateInput(batch.Staged!)), logits);
            rows.AddRange(logits.Chunk(network.Classes));
        }
        return [.. rows];
    }
}
