using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Weights.Naming;

namespace RepVgg.Weights.Files;

/// <summary>Weights that were read from a file, with their form and architecture.</summary>
/// <param name="State">The weights under the authors' names.</param>
/// <param name="Form">The form of the weights, training or deploy.</param>
/// <param name="Architecture">The architecture: that of the file's description, or inferred from the names and shapes of the weights if the file has none.</param>
/// <param name="Classes">Number of classes; 0 if the file holds a backbone without a classifier.</param>
/// <param name="Description">The description in the file; null if the file has none.</param>
public sealed record LoadedWeights(StateDict State, WeightsForm Form, RepVggArchitecture Architecture, int Classes, ModelDescription? Description)
{
    /// <summary>Path of the dictionary in a PyTorch checkpoint that the weights were read from, such as <c>state_dict</c>; empty if they are the whole file.</summary>
    public string Entry { get; init; } = "";

    /// <summary>Paths of the dictionaries in a PyTorch checkpoint that hold weights, such as <c>model</c> and <c>model_ema</c>; empty for other formats.</summary>
    public IReadOnlyList<string> Entries { get; init; } = [];

    /// <summary>What the file holds beside the weights and was not read, such as <c>argparse.Namespace (1)</c> or <c>num_batches_tracked (20)</c>.</summary>
    public IReadOnlyList<string> LeftOut { get; init; } = [];

    /// <summary>Gets the description of the network. Values that the file does not contain get default values.</summary>
    /// <param name="imageHeight">Input height in pixels; null uses that of the file, or the architecture's default if the file has none.</param>
    /// <param name="imageWidth">Input width in pixels; null uses that of the file, or the architecture's default if the file has none.</param>
    /// <param name="normalization">Normalization of the input; null uses that of the file, or ImageNet's if the file has none and the input has three channels.</param>
    /// <returns>The description.</returns>
    /// <exception cref="ArgumentException">The normalisation is unknown: neither the argument nor the file specifies it, and the input does not have three channels.</exception>
    public ModelDescription Describe(int? imageHeight = null, int? imageWidth = null, Normalization? normalization = null) => new(
        Architecture,
        Classes,
        imageHeight ?? Description?.ImageHeight ?? Architecture.DefaultImageSize,
        imageWidth ?? Description?.ImageWidth ?? Architecture.DefaultImageSize,
        normalization ?? Description?.Normalization
            ?? (Architecture.InputChannels == 3 ? Normalization.ImageNet : throw new ArgumentException(
                $"The file does not contain the normalisation of its {Architecture.InputChannels}-channel images: give the mean and scale that the network was trained with.", nameof(normalization))),
        Description?.ClassLabels ?? []);

    /// <summary>Creates a deploy network. Weights of the training form are fused; weights of the deploy form are used without change. Without a classifier, the network returns pooled features.</summary>
    /// <param name="imageHeight">Input height in pixels; null for the same default as in <see cref="Describe"/>.</param>
    /// <param name="imageWidth">Input width in pixels; null for the same default as in <see cref="Describe"/>.</param>
    /// <param name="normalization">Normalization of the input; null for the same default as in <see cref="Describe"/>.</param>
    /// <returns>The network.</returns>
    /// <exception cref="ArgumentException">The image is too small, the normalisation has another number of channels, or the normalisation is unknown.</exception>
    public DeployNetwork ToDeployNetwork(int? imageHeight = null, int? imageWidth = null, Normalization? normalization = null)
    {
        var (_, _, height, width, known, _) = Describe(imageHeight, imageWidth, normalization);
        return Form == WeightsForm.Deploy
            ? DeployNetwork.FromDeployForm(Architecture, State, height, width, known)
            : DeployNetwork.FromTrainingForm(Architecture, State, height, width, known);
    }
}
