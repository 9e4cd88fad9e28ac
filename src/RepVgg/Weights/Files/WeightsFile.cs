using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Weights.Naming;

namespace RepVgg.Weights.Files;

/// <summary>Reads weights from files of any supported format: PyTorch (.pth, .pt, .bin), safetensors, ONNX, and this library's training checkpoints.</summary>
public static class WeightsFile
{
    /// <summary>Reads a file. The format is detected from the content, not from the file name. Prefixes of names, such as <c>module.</c>, are removed, and names of timm and MMPretrain are converted to those of the RepVGG authors' code.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">What the file does not say; null for nothing.</param>
    /// <returns>The weights. For an ONNX file, they are always the deploy form; for a training checkpoint, the best weights so far.</returns>
    /// <exception cref="InvalidDataException">The file has an unsupported format, is damaged, or does not contain a RepVGG network.</exception>
    /// <exception cref="ArgumentException">An option is invalid, or contradicts the file.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static LoadedWeights Read(string path, WeightsFileOptions? options = null)
    {
        options = Checked(options);
        using var opened = WeightsFormat.Of(path).Open(path, options);
        var weights = Identify(path, opened, options);
        weights.State.LoadAll();
        return weights;
    }

    /// <summary>Reads a file and fuses the weights block by block, so that the weights of the training form are not all in memory at the same time.</summary>
    /// <param name="path">Path of the file, which contains the training or the deploy form.</param>
    /// <param name="options">What the file does not say; null for nothing.</param>
    /// <returns>The deploy network.</returns>
    /// <exception cref="InvalidDataException">The file has an unsupported format, is damaged, or does not contain a RepVGG network.</exception>
    /// <exception cref="ArgumentException">An option is invalid or contradicts the file, the image size or the normalisation does not suit the network, or the normalisation is unknown.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static DeployNetwork ReadDeployNetwork(string path, WeightsFileOptions? options = null) => ReadDeployNetwork(path, options, out _);

    /// <summary>Reads a deploy network and returns what was assumed.</summary>
    internal static DeployNetwork ReadDeployNetwork(string path, WeightsFileOptions? options, out IReadOnlyList<WeightsAssumption> assumptions)
    {
        options = Checked(options);
        using var opened = WeightsFormat.Of(path).Open(path, options);
        var weights = Identify(path, opened, options);
        assumptions = weights.Assumptions;
        return weights.ToDeployNetwork();
    }

    /// <summary>Calls a function with the deploy network of a file. For an ONNX file, the weights are read from the file when they are used.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">What the file does not say; null for nothing.</param>
    /// <param name="use">The function, called once with the network and what was assumed. The weights can be read until it returns.</param>
    internal static T Use<T>(string path, WeightsFileOptions? options, Func<NetworkSource, IReadOnlyList<WeightsAssumption>, T> use)
        where T : class
    {
        options = Checked(options);
        if (WeightsFormat.Of(path).OpenNetwork is not { } open)
            return use(NetworkSource.Of(ReadDeployNetwork(path, options, out var known)), known);
        var (network, assumptions) = open(path, options);
        using (network)
        {
            Report(path, options, assumptions);
            return use(network, assumptions);
        }
    }

    private static WeightsFileOptions Checked(WeightsFileOptions? options)
    {
        options ??= new WeightsFileOptions();
        options.Check();
        return options;
    }

    private static void Report(string path, WeightsFileOptions options, IReadOnlyList<WeightsAssumption> assumptions)
    {
        foreach (var assumption in assumptions)
            options.Report(path, assumption);
    }

    /// <summary>Selects the weights of an entry that is a prefix of names, not a dictionary of the checkpoint, which its reader selects.</summary>
    private static StateDict Select(string path, OpenedWeights opened, string entry)
    {
        string[] known = [.. opened.Entries.Concat(StatePrefixes.Prefixes(opened.State).Select(prefix => prefix.TrimEnd('.'))).Where(name => name.Length > 0).Distinct()];
        string prefix = opened.Entry.Length > 0 && entry.StartsWith(opened.Entry + ".", StringComparison.Ordinal) ? entry[(opened.Entry.Length + 1)..] : entry;
        return StatePrefixes.Select(opened.State, prefix) ?? throw new InvalidDataException(
            $"'{path}' has no entry '{entry}' of weights. {(known.Length > 0 ? $"It has '{NameList.Join(known, separator: "', '")}'." : "Its weights are not in entries.")}");
    }

    /// <summary>Determines the names, the form, the number of classes and the architecture of weights.</summary>
    private static LoadedWeights Identify(string path, OpenedWeights opened, WeightsFileOptions options)
    {
        var (state, description, _) = opened;
        LoadedWeights weights;
        try
        {
            string entry = opened.Entry;
            var entries = opened.Entries;
            if (options.Entry is { } wanted && entry != wanted && !entry.StartsWith(wanted + ".", StringComparison.Ordinal))
                (state, entry) = (Select(path, opened, wanted), wanted);
            string[] prefixes = StatePrefixes.Prefixes(state);
            string prefix = StatePrefixes.Choose(prefixes);
            if (prefixes.Length > 1)
                (entry, entries) = (prefix.TrimEnd('.'), [.. prefixes.Select(other => other.TrimEnd('.'))]);
            state = StatePrefixes.Remove(state, prefix);
            if (TimmNames.AreIn(state))
                state = TimmNames.ToAuthors(state);
            else if (MmPretrainNames.AreIn(state))
                state = MmPretrainNames.ToAuthors(state);
            var form = StateInference.FormOf(state);
            int classes = StateLayout.ClassesOf(state);
            var architecture = description?.Architecture ?? StateInference.Infer(state, options.BlockForm, options.Strides);
            weights = new LoadedWeights(state, form, architecture, classes, description)
            {
                Entry = entry,
                Entries = entries,
                LeftOut = opened.LeftOut,
                Options = options,
            };
        }
        catch (ArgumentException error)
        {
            throw new InvalidDataException($"'{path}' holds no weights of a RepVGG network{With(options)}: {error.Message}", error);
        }
        weights = WeightsAssumptions.Complete(path, weights, opened.Assumptions);
        Report(path, options, weights.Assumptions);
        return weights;
    }

    /// <summary>Describes the options from which an architecture is inferred.</summary>
    private static string With(WeightsFileOptions options) => string.Concat(
        options.BlockForm is { } form ? $" of block form {form}" : "", options.Strides is { } strides ? $" with strides {string.Join(", ", strides)}" : "");
}
