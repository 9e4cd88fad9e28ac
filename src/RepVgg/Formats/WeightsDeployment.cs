using RepVgg.Networks;
using RepVgg.Reparameterization;

namespace RepVgg.Formats;

/// <summary>Makes deploy networks of weights that were read from a file.</summary>
public static class WeightsDeployment
{
    /// <summary>Fuses weights of the training form, or takes those of the deploy form as they are.</summary>
    /// <param name="weights">The weights.</param>
    /// <param name="imageHeight">Input height in pixels; null takes it from the file, or else the architecture's default.</param>
    /// <param name="imageWidth">Input width in pixels; likewise.</param>
    /// <param name="normalization">What the network does to its input first; null takes it from the file, or else ImageNet's for three channels.</param>
    /// <returns>The network.</returns>
    /// <exception cref="ArgumentException">The image is too small, the normalisation has another number of channels, or none is known.</exception>
    public static DeployNetwork ToDeployNetwork(this LoadedWeights weights, int? imageHeight = null, int? imageWidth = null, Normalization? normalization = null)
    {
        ArgumentNullException.ThrowIfNull(weights);
        var architecture = weights.Architecture;
        int height = imageHeight ?? weights.Description?.ImageHeight ?? architecture.DefaultImageSize;
        int width = imageWidth ?? weights.Description?.ImageWidth ?? architecture.DefaultImageSize;
        var first = normalization ?? weights.Description?.Normalization
            ?? (architecture.InputChannels == 3 ? Normalization.ImageNet : throw new ArgumentException(
                $"The file says nothing about the normalisation of its {architecture.InputChannels}-channel images: give the mean and scale that the network was trained with.", nameof(normalization)));
        return weights.Form == WeightsForm.Deploy
            ? DeployStates.Import(architecture, weights.State, height, width, first)
            : Fusion.Fuse(architecture, weights.State, height, width, first);
    }
}
