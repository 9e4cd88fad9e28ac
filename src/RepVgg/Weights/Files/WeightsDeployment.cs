using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Reparameterization;
using RepVgg.Weights.Naming;

namespace RepVgg.Weights.Files;

/// <summary>Creates deploy networks from weights that were read from a file.</summary>
public static class WeightsDeployment
{
    /// <summary>Gets the description of the network of weights. Values that the file does not contain get default values.</summary>
    /// <param name="weights">The weights.</param>
    /// <param name="imageHeight">Input height in pixels; null uses that of the file, or the architecture's default if the file has none.</param>
    /// <param name="imageWidth">Input width in pixels; null uses that of the file, or the architecture's default if the file has none.</param>
    /// <param name="normalization">Normalization of the input; null uses that of the file, or ImageNet's if the file has none and the input has three channels.</param>
    /// <returns>The description.</returns>
    /// <exception cref="ArgumentException">The normalisation is unknown: neither the argument nor the file specifies it, and the input does not have three channels.</exception>
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
                    $"The file does not contain the normalisation of its {architecture.InputChannels}-channel images: give the mean and scale that the network was trained with.", nameof(normalization))),
            weights.Description?.ClassLabels ?? []);
    }

    /// <summary>Creates a deploy network. Weights of the training form are fused; weights of the deploy form are used without change.</summary>
    /// <param name="weights">The weights.</param>
    /// <param name="imageHeight">Input height in pixels; null for the same default as in <see cref="Describe"/>.</param>
    /// <param name="imageWidth">Input width in pixels; null for the same default as in <see cref="Describe"/>.</param>
    /// <param name="normalization">Normalization of the input; null for the same default as in <see cref="Describe"/>.</param>
    /// <returns>The network.</returns>
    /// <exception cref="ArgumentException">The image is too small, the normalisation has another number of channels, or the normalisation is unknown.</exception>
    public static DeployNetwork ToDeployNetwork(this LoadedWeights weights, int? imageHeight = null, int? imageWidth = null, Normalization? normalization = null)
    {
        var (architecture, _, height, width, first, _) = weights.Describe(imageHeight, imageWidth, normalization);
        return weights.Form == WeightsForm.Deploy
            ? DeployStates.Import(architecture, weights.State, height, width, first)
            : Fusion.Fuse(architecture, weights.State, height, width, first);
    }
}
