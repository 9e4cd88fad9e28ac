using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Weights.Naming;

namespace RepVgg.Weights.Files;

/// <summary>Reads weights from files of any supported format: PyTorch (.pth, .pt, .bin), safetensors, ONNX, and this library's training checkpoints.</summary>
public static class WeightsFile
{
    /// <summary>Reads a file. The format is detected from the content, not from the file name. Prefixes of names, such as <c>module.</c>, are removed, and names of timm and MMPretrain are converted to those of the RepVGG authors' code.</summary>
    /// <param name="path">The file.</param>
    /// <param name="blockForm">The block form of training weights in a file without a description, which <see cref="BlockForm.IdentityWithoutNorm"/> needs because its names are not unique; null to find it from the names.</param>
    /// <returns>The weights. For an ONNX file, they are always the deploy form; for a training checkpoint, the best weights so far.</returns>
    /// <exception cref="InvalidDataException">The file has an unsupported format, is damaged, or does not contain a RepVGG network.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static LoadedWeights Read(string path, BlockForm? blockForm = null)
    {
        using var opened = WeightsFormat.Of(path).Open(path, null);
        var weights = Identify(path, opened, blockForm);
        weights.State.LoadAll();
        return weights;
    }

    /// <summary>Reads a file and fuses the weights block by block, so that the weights of the training form are not all in memory at the same time.</summary>
    /// <param name="path">Path of the file, which contains the training or the deploy form.</param>
    /// <param name="imageHeight">Input height in pixels; null uses that of the file, or the architecture's default if the file has none.</param>
    /// <param name="imageWidth">Input width in pixels; null uses that of the file, or the architecture's default if the file has none.</param>
    /// <param name="normalization">Normalization of the input; null uses that of the file, or ImageNet's if the file has none and the input has three channels.</param>
    /// <param name="blockForm">The block form of training weights in a file without a description, as for <see cref="Read"/>.</param>
    /// <returns>The deploy network.</returns>
    /// <exception cref="InvalidDataException">The file has an unsupported format, is damaged, or does not contain a RepVGG network.</exception>
    /// <exception cref="ArgumentException">The image size or the normalisation does not suit the network, or the normalisation is unknown.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static DeployNetwork ReadDeployNetwork(string path, int? imageHeight = null, int? imageWidth = null, Normalization? normalization = null, BlockForm? blockForm = null)
    {
        using var opened = WeightsFormat.Of(path).Open(path, null);
        return Identify(path, opened, blockForm).ToDeployNetwork(imageHeight, imageWidth, normalization);
    }

    /// <summary>Calls a function with the deploy network of a file. For an ONNX file, the weights are read from the file when they are used.</summary>
    /// <param name="path">The file.</param>
    /// <param name="use">The function, called once. The weights can be read until it returns.</param>
    internal static T Use<T>(string path, Func<NetworkSource, T> use)
        where T : class
    {
        var format = WeightsFormat.Of(path);
        using var network = format.OpenNetwork?.Invoke(path) ?? NetworkSource.Of(ReadDeployNetwork(path));
        return use(network);
    }

    /// <summary>Selects the weights of an entry: a dictionary of the checkpoint, which the reader has then selected, or a prefix of names.</summary>
    private static StateDict Select(string path, OpenedWeights opened, string? entry)
    {
        if (entry is null || opened.Entry == entry || opened.Entry.StartsWith(entry + ".", StringComparison.Ordinal))
            return opened.State;
        string[] prefixes = [.. StatePrefixes.Prefixes(opened.State).Select(prefix => prefix.TrimEnd('.')).Where(prefix => prefix.Length > 0)];
        string[] known = [.. opened.Entries.Where(path => path.Length > 0), .. prefixes];
        return StatePrefixes.Select(opened.State, entry) ?? throw new InvalidDataException(
            $"'{path}' has no entry '{entry}' of weights. {(known.Length > 0 ? $"It has '{NameList.Join(known, separator: "', '")}'." : "Its weights are not in entries.")}");
    }

    /// <summary>Determines the names, the form, the number of classes and the architecture of weights.</summary>
    private static LoadedWeights Identify(string path, OpenedWeights opened, BlockForm? blockForm, string? entry = null)
    {
        var (state, description, _) = opened;
        try
        {
            state = StatePrefixes.Remove(Select(path, opened, entry));
            if (TimmNames.AreIn(state))
                state = TimmNames.ToAuthors(state);
            else if (MmPretrainNames.AreIn(state))
                state = MmPretrainNames.ToAuthors(state);
            var form = StateInference.FormOf(state);
            int classes = StateLayout.ClassesOf(state);
            var architecture = description?.Architecture ?? StateInference.Infer(state, blockForm);
            return new LoadedWeights(state, form, architecture, classes, description) { Entry = opened.Entry, Entries = opened.Entries, LeftOut = opened.LeftOut };
        }
        catch (ArgumentException error)
        {
            throw new InvalidDataException($"'{path}' holds no weights of a RepVGG network: {error.Message}", error);
        }
    }
}
