using RepVgg.Architectures;
using RepVgg.Formats;
using RepVgg.Networks;

namespace Microsoft.ML.RepVgg;

/// <summary>The weights that a training starts from, where a file gives them.</summary>
internal sealed class PretrainedStart
{
    private const int SmallestImageNetSize = 224;

    private readonly string _path;
    private readonly LoadedWeights _weights;

    private PretrainedStart(string path, LoadedWeights weights) => (_path, _weights) = (path, weights);

    /// <summary>What the weights belong to.</summary>
    public RepVggArchitecture Architecture => _weights.Architecture;

    /// <summary>Height and width of the images that they were trained on, in pixels; null where the file does not say.</summary>
    public (int Height, int Width)? ImageSize => _weights.Description is { } known ? (known.ImageHeight, known.ImageWidth) : null;

    /// <summary>What they expect their input to be normalised by: as the file says, or ImageNet's for the paper's networks; null where it is unknown.</summary>
    public Normalization? Normalization =>
        _weights.Description?.Normalization
        ?? (RepVggVariants.All.Any(variant => variant.DefaultImageSize >= SmallestImageNetSize && variant == Architecture) ? global::RepVgg.Networks.Normalization.ImageNet : null);

    /// <summary>Reads a file of any known format.</summary>
    /// <param name="path">The file, or null for none.</param>
    /// <returns>The weights; null where there is no file.</returns>
    /// <exception cref="ArgumentException">The file holds the deploy form.</exception>
    /// <exception cref="InvalidDataException">The file is of no known format, is damaged, or holds no RepVGG.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static PretrainedStart? Read(string? path)
    {
        if (path is null)
            return null;
        var weights = WeightsFile.Read(path);
        if (weights.Form == WeightsForm.Deploy)
        {
            throw new ArgumentException(
                $"Options.PretrainedWeights: '{path}' holds the deploy form of {weights.Architecture.Name}. Its branches are fused and its batch norms are gone, "
                + "so it can be scored but not trained on. Give the training form, the file that it was fused from (with names such as 'stage1.0.rbr_dense.conv.weight').");
        }
        return new PretrainedStart(path, weights);
    }

    /// <summary>Checks that the images have as many channels as the weights read.</summary>
    /// <exception cref="ArgumentException">They have not.</exception>
    public void CheckChannels(string column, int channels)
    {
        if (channels != Architecture.InputChannels)
        {
            throw new ArgumentException(
                $"The feature column '{column}' has {channels} channel(s), but the weights in '{_path}' were trained on {Architecture.InputChannels}. "
                + "Give images of as many channels (Options.ImageChannels for image columns), or other weights.");
        }
    }

    /// <summary>Puts the weights into a network.</summary>
    /// <returns>What was done, for the log.</returns>
    /// <exception cref="ArgumentException">Names are missing, surplus or misshapen; all are listed.</exception>
    public string ImportInto(TrainingNetwork network)
    {
        IReadOnlyList<string> fresh;
        try
        {
            fresh = network.ImportPretrained(_weights.State);
        }
        catch (ArgumentException error)
        {
            throw new ArgumentException($"Options.PretrainedWeights: '{_path}', which holds {Architecture.Name}: {error.Message} Leave Options.Architecture out to have it taken from the file.", error);
        }
        string start = $"Training starts from the weights of {Architecture.Name} in '{_path}'";
        return fresh.Count == 0
            ? $"{start}, the classifier for {network.Classes} classes included."
            : $"{start}; they are for {_weights.Classes} classes and the data has {network.Classes}, so the classifier starts afresh ({string.Join(", ", fresh)}).";
    }
}
