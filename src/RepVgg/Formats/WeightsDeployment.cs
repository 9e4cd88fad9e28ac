using RepVgg.Networks;
using RepVgg.Reparameterization;

namespace RepVgg.Formats;

/// <summary>Makes deploy networks of weights that were read from a file.</summary>
public static class WeightsDeployment
{
    /// <summary>Describes the network that weights make: what the file says, and sound defaults for the rest.</summary>
    /// <param name="weights">The weights.</param>
    /// <param name="imageHeight">Input height in pixels; null takes it from the file, or else the architecture's default.</param>
    /// <param name="imageWidth">Input width in pixels; likewise.</param>
    /// <param name="normalization">What the network does to its input first; null takes it from the file, or else ImageNet's for three channels.</param>
    /// <returns>The description.</returns>
    /// <exception cref="ArgumentException">No normalisation is known: the file says nothing of it, and its images have one channel.</exception>
    public static ModelDescription Describe(this LoadedWeights weights, int? imageHeight = null, int? imageWidth = null, Normalization? normalization = null)
    {
        ArgumentNullException.ThrowIfNull(weights);
        var architecture = weights.Architecture;
        return new ModelDescription(
            architecture,
            weights.Classes,
            imageHeight ?? weights.Description?.ImageHeight ?? architecture.DefaultImageSize,
            imageWidth ?? weights.Description?.ImageWidth ?? architecture.DefaultImageSize,
            normalization ?? weights.Description?.Normalization
                ?? (architecture.InputChannels == 3 ? Normalization.ImageNet : throw new ArgumentException(
                    $"The file says nothing about the normalisation of its {architecture.InputChannels}-channel images: give the mean and scale that the network was trained with.", nameof(normalization))),
            weights.Description?.ClassLabels ?? []);
    }

    /// <summary>Fuses weights of the training form, or takes those of the deploy form as they are.</summary>
    /// <param name="weights">The weights.</param>
    /// <param name="imageHeight">As for <see cref="Describe"/>.</param>
    /// <param name="imageWidth">As for <see cref="Describe"/>.</param>
    /// <param name="normalization">As for <see cref="Describe"/>.</param>
    /// <returns>The network.</returns>
    /// <exception cref="ArgumentException">The image is too small, the normalisation has another number of channels, or none is known.</exception>
    public static DeployNetwork ToDeployNetwork(this LoadedWeights weights, int? imageHeight = null, int? imageWidth = null, Normalization? normalization = null)
    {
        var (architecture, _, height, width, first, _) = weights.Describe(imageHeight, imageWidth, normalization);
        return weights.Form == WeightsForm.Deploy
            ? DeployStates.Import(architecture, weights.State, height, width, first)
            : Fusion.Fuse(architecture, weights.State, height, width, first);
    }
}
