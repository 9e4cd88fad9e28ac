using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Runtime;
using RepVgg.Weights.Keras;
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
    /// <summary>
    /// Where in the file the weights were read from; empty if they are the whole file. It is the path of a dictionary in a PyTorch checkpoint, such as
    /// <c>state_dict</c>; the prefix of names of a network that is not alone in a dictionary or, in any format, in the file, such as <c>ema_model</c>; or both, joined by a
    /// dot.
    /// </summary>
    public string Entry { get; init; } = "";

    /// <summary>All values that <see cref="Entry"/> can have for this file, such as <c>model</c> and <c>model_ema</c>. For a PyTorch checkpoint, it has at least one; for other formats, it is empty unless the file holds several networks.</summary>
    public IReadOnlyList<string> Entries { get; init; } = [];

    /// <summary>What the file holds beside the weights and was not read, such as <c>argparse.Namespace (1)</c> or <c>num_batches_tracked (20)</c>.</summary>
    public IReadOnlyList<string> LeftOut { get; init; } = [];

    /// <summary>What was assumed because neither the file nor the options say it; empty if nothing was.</summary>
    public IReadOnlyList<WeightsAssumption> Assumptions { get; init; } = [];

    /// <summary>What wrote the file, such as <c>Keras 2.4.0, weights</c>, or the library whose names the weights have: timm or MMPretrain; null if neither is known, as for weights under the RepVGG authors' names.</summary>
    public string? Origin { get; init; }

    /// <summary>Height and width of the images that a file without description tells; null if it does not.</summary>
    internal (int Height, int Width)? ToldSize { get; init; }

    /// <summary>Whether the padding of the architecture depends on the size of the images, because the network was trained with Keras.</summary>
    internal bool IsPaddedBySize { get; init; }

    /// <summary>Pads an architecture of these weights for images of a size, if its padding depends on it.</summary>
    internal RepVggArchitecture PaddedFor(RepVggArchitecture architecture, int height, int width) => IsPaddedBySize ? KerasReader.Padded(architecture, height, width) : architecture;

    /// <summary>The options that the file was read with.</summary>
    internal WeightsFileOptions Options { get; init; } = new();

    /// <summary>Input height in pixels: that of the options, else that of the file, else the architecture's default.</summary>
    internal int ImageHeight => Options.Height ?? Description?.ImageHeight ?? ToldSize?.Height ?? Architecture.DefaultImageSize;

    /// <summary>Input width in pixels: that of the options, else that of the file, else the architecture's default.</summary>
    internal int ImageWidth => Options.Width ?? Description?.ImageWidth ?? ToldSize?.Width ?? Architecture.DefaultImageSize;

    /// <summary>The normalisation of the options, else that of the file, else the assumed one of images with three channels; null if it is unknown.</summary>
    internal Normalization? KnownNormalization => Options.Normalization ?? Description?.Normalization ?? (Architecture.InputChannels == 3 ? Normalization.ImageNet : null);

    /// <summary>Gets the description of the network. The options that the file was read with go before the values of the file; values that neither has are the assumed ones.</summary>
    /// <returns>The description.</returns>
    /// <exception cref="ArgumentException">The normalisation is unknown: neither the options nor the file specify it, and the input does not have three channels.</exception>
    public ModelDescription Describe() => new(
        Architecture,
        Classes,
        ImageHeight,
        ImageWidth,
        KnownNormalization ?? throw new ArgumentException(
            $"The file does not contain the normalisation of its {Architecture.InputChannels}-channel images: give the one that the network was trained with as the option Normalization."),
        Description?.ClassLabels ?? []);

    /// <summary>Returns the same weights for a network that does not normalise its input.</summary>
    internal LoadedWeights WithoutNormalization() => this with { Options = Options with { Normalization = Normalization.Identity(Architecture.InputChannels) } };

    /// <summary>
    /// Creates a deploy network with the values of <see cref="Describe"/>. Weights of the training form are fused; weights of the deploy form are used
    /// without change. Without a classifier, the network returns pooled features.
    /// </summary>
    /// <returns>The network.</returns>
    /// <exception cref="ArgumentException">The image is too small, the normalisation has another number of channels, or the normalisation is unknown.</exception>
    /// <exception cref="InvalidDataException">A fused kernel or bias is too large for 32-bit floats.</exception>
    public DeployNetwork ToDeployNetwork()
    {
        try
        {
            return Fuse();
        }
        catch (OverflowException error)
        {
            throw new InvalidDataException($"The weights cannot be used: {MessageText.Reason(error)}.", error);
        }
    }

    /// <summary>Creates a deploy network, as <see cref="ToDeployNetwork"/>.</summary>
    /// <exception cref="OverflowException">A fused kernel or bias is too large for 32-bit floats.</exception>
    internal DeployNetwork Fuse()
    {
        var (_, _, height, width, known, _) = Describe();
        return Form == WeightsForm.Deploy
            ? DeployNetwork.FromDeployForm(Architecture, State, height, width, known)
            : DeployNetwork.FromTrainingForm(Architecture, State, height, width, known);
    }
}
