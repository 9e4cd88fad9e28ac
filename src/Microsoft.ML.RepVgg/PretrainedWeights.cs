using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Naming;

namespace Microsoft.ML.RepVgg;

/// <summary>Pretrained weights, read from a file, from which training starts.</summary>
internal sealed class PretrainedWeights
{
    private const int SmallestImageNetSize = 224;

    private readonly string _path;
    private readonly LoadedWeights _weights;

    private PretrainedWeights(string path, LoadedWeights weights) => (_path, _weights) = (path, weights);

    /// <summary>The architecture of the weights.</summary>
    public RepVggArchitecture Architecture => _weights.Architecture;

    /// <summary>Height and width in pixels of the images that the weights were trained on; null if the file does not contain them.</summary>
    public (int Height, int Width)? ImageSize => _weights.Description is { } known ? (known.ImageHeight, known.ImageWidth) : null;

    /// <summary>The input normalization that the weights were trained with: the one in the file, or ImageNet's for the networks of the RepVGG paper; null if it is unknown.</summary>
    public Normalization? Normalization =>
        _weights.Description?.Normalization
        ?? (RepVggVariants.All.Any(variant => variant.DefaultImageSize >= SmallestImageNetSize && variant == Architecture) ? global::RepVgg.Architectures.Normalization.ImageNet : null);

    /// <summary>Reads a weights file of any supported format.</summary>
    /// <param name="path">Path of the file; null for none.</param>
    /// <param name="architecture">The architecture that the user specified, whose block form the weights have; null for none.</param>
    /// <returns>The weights; null if <paramref name="path"/> is null.</returns>
    /// <exception cref="ArgumentException">The file holds the deploy form.</exception>
    /// <exception cref="InvalidDataException">The file has an unsupported format, is damaged, or does not contain a RepVGG network.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static PretrainedWeights? Read(string? path, RepVggArchitecture? architecture = null)
    {
        if (path is null)
            return null;
        var weights = WeightsFile.Read(path, new WeightsFileOptions { BlockForm = architecture?.BlockForm });
        if (weights.Form == WeightsForm.Deploy)
        {
            throw new ArgumentException(
                $"Options.PretrainedWeightsPath: '{path}' holds the deploy form of {weights.Architecture.Name}. Its branches and batch norms are fused, "
                + "so it can be scored but not trained on. Give the training form, the file that it was fused from (with names such as 'stage1.0.rbr_dense.conv.weight').");
        }
        return new PretrainedWeights(path, weights);
    }

    /// <summary>Checks that the images have the number of channels that the weights require.</summary>
    /// <exception cref="ArgumentException">The numbers of channels differ.</exception>
    public void CheckChannels(string column, int channels)
    {
        if (channels != Architecture.InputChannels)
        {
            throw new ArgumentException(
                $"The feature column '{column}' has {channels} channel(s), but the weights in '{_path}' were trained on {Architecture.InputChannels}. "
                + "Use images with the same number of channels (Options.ImageChannels for image columns), or other weights.");
        }
    }

    /// <summary>Copies the weights into a network.</summary>
    /// <returns>A message for the log that describes what was imported.</returns>
    /// <exception cref="ArgumentException">Tensors are missing, unexpected or of the wrong shape; the message names the first ones.</exception>
    public string ImportInto(TrainingNetwork network)
    {
        IReadOnlyList<string> fresh;
        try
        {
            fresh = network.ImportPretrained(_weights.State);
        }
        catch (ArgumentException error)
        {
            throw new ArgumentException($"Options.PretrainedWeightsPath: '{_path}', which holds {Architecture.Name}: {error.Message} Leave Options.Architecture out to have it taken from the file.", error);
        }
        string start = $"Training starts from the weights of {Architecture.Name} in '{_path}'";
        if (fresh.Count == 0)
            return $"{start}, the classifier for {network.Classes} classes included.";
        return _weights.Classes == 0
            ? $"{start}; they have no classifier, so that for {network.Classes} classes starts from random weights ({string.Join(", ", fresh)})."
            : $"{start}; they are for {_weights.Classes} classes and the data has {network.Classes}, so the classifier starts from random weights ({string.Join(", ", fresh)}).";
    }
}
