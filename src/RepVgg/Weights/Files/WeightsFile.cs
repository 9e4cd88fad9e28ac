using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;
using RepVgg.Weights.Naming;
using RepVgg.Weights.Onnx;

namespace RepVgg.Weights.Files;

/// <summary>Reads weights from files of any supported format: PyTorch (.pth, .pt, .bin), safetensors, ONNX, and this library's training checkpoints.</summary>
public static class WeightsFile
{
    /// <summary>Reads a file. The format is detected from the content, not from the file name. Prefixes of names, such as <c>module.</c>, are removed, and names of timm and MMPretrain are converted to those of the RepVGG authors' code.</summary>
    /// <remarks>
    /// A file that was written less than 20 ms and 1 ms per MiB ago, at most 100 ms, is read after that time, because another write at the same time could not be noticed otherwise. A
    /// time stamp in the future, such as of a network drive whose clock is ahead, disables that protection.
    /// </remarks>
    /// <param name="path">The file.</param>
    /// <param name="options">What the file does not say; null for nothing.</param>
    /// <returns>The weights. For an ONNX file, they are always the deploy form; for a training checkpoint, the best weights so far.</returns>
    /// <exception cref="InvalidDataException">The file has an unsupported format, is damaged, or does not contain a RepVGG network.</exception>
    /// <exception cref="ArgumentException">An option is invalid, or contradicts the file.</exception>
    /// <exception cref="IOException">The file cannot be read, or was changed while it was read.</exception>
    public static LoadedWeights Read(string path, WeightsFileOptions? options = null)
    {
        options = Checked(options);
        return ByteSource.Use(path, file =>
        {
            var weights = Identify(path, FormatOf(file, options).Open(file, options), options);
            weights.State.LoadAll();
            return weights;
        });
    }

    /// <summary>Reads a file and fuses the weights block by block, so that the weights of the training form are not all in memory at the same time.</summary>
    /// <param name="path">Path of the file, which contains the training or the deploy form.</param>
    /// <param name="options">What the file does not say; null for nothing.</param>
    /// <returns>The deploy network.</returns>
    /// <exception cref="InvalidDataException">The file has an unsupported format, is damaged, or does not contain a RepVGG network.</exception>
    /// <exception cref="ArgumentException">An option is invalid or contradicts the file, the image size or the normalisation does not suit the network, or the normalisation is unknown.</exception>
    /// <exception cref="IOException">The file cannot be read, or was changed while it was read.</exception>
    public static DeployNetwork ReadDeployNetwork(string path, WeightsFileOptions? options = null) => ReadDeployNetwork(path, options, out _);

    /// <summary>Reads a deploy network and returns what was assumed.</summary>
    internal static DeployNetwork ReadDeployNetwork(string path, WeightsFileOptions? options, out IReadOnlyList<WeightsAssumption> assumptions)
    {
        options = Checked(options);
        (var network, assumptions) = ByteSource.Use(path, file => ReadDeployNetwork(file, FormatOf(file, options), options));
        return network;
    }

    /// <summary>Whether a file holds a quantized network, which <see cref="OnnxReader.ReadQuantized(string)"/> reads; false for a file of an unknown format.</summary>
    internal static bool IsQuantized(string path) => ByteSource.Use(path, file => OnnxReader.IsLikely(file.Read(0, (int)Math.Min(file.Length, 16))) && WeightsFormat.Of(file).IsGraph && OnnxReader.IsQuantized(file));

    /// <summary>Calls a function with the deploy network of a file. For an ONNX file, the weights are read from the file when they are used.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">What the file does not say; null for nothing.</param>
    /// <param name="use">The function, called once with the network and what was assumed. The weights can be read until it returns.</param>
    internal static T Use<T>(string path, WeightsFileOptions? options, Func<NetworkSource, IReadOnlyList<WeightsAssumption>, T> use)
        where T : class
    {
        options = Checked(options);
        return ByteSource.Use(path, file =>
        {
            var format = FormatOf(file, options);
            if (format.OpenNetwork is not { } open)
            {
                var (deploy, known) = ReadDeployNetwork(file, format, options);
                file.Close();
                return Used(NetworkSource.Of(deploy), known);
            }
            var (network, assumptions, architecture) = open(file, options);
            // The architecture is inferred only if an option can contradict it, because the file is opened faster without it.
            if (options.Strides is not null || options.BatchNormEpsilon is not null)
                WeightsAssumptions.Check(path, options, WeightsForm.Deploy, architecture());
            Report(path, options, assumptions);
            return Used(network, assumptions);
        });

        T Used(NetworkSource network, IReadOnlyList<WeightsAssumption> assumptions)
        {
            try
            {
                return use(network, assumptions);
            }
            catch (InvalidDataException error)
            {
                // The reader of a value and the engine do not know the file.
                throw new InvalidDataException($"'{path}' cannot be used: {MessageText.Reason(error)}.", error);
            }
        }
    }

    private static (DeployNetwork Network, IReadOnlyList<WeightsAssumption> Assumptions) ReadDeployNetwork(ByteSource file, WeightsFormat format, WeightsFileOptions options)
    {
        var weights = Identify(file.Path, format.Open(file, options), options);
        try
        {
            return (weights.Fuse(), weights.Assumptions);
        }
        catch (Exception error) when (error is OverflowException or NotSupportedException)
        {
            throw new InvalidDataException($"{file.Name} cannot be used: {MessageText.Reason(error)}.", error);
        }
    }

    private static WeightsFileOptions Checked(WeightsFileOptions? options)
    {
        options ??= new WeightsFileOptions();
        options.Check();
        return options;
    }

    /// <summary>Detects the format of a file, and refuses options that files of this format do not have.</summary>
    private static WeightsFormat FormatOf(ByteSource file, WeightsFileOptions options)
    {
        var format = WeightsFormat.Of(file);
        if (format.IsGraph && options.Entry is { } entry)
            throw new InvalidDataException($"{file.Name} has no entry '{entry}' of weights: it is an {format.Name} file, whose weights are those of its graph. Leave the option Entry out.");
        if (!format.IsGraph && options.Output is { } output)
            throw new InvalidDataException($"{file.Name} has no output '{output}': only ONNX files have outputs, and its format is {format.Name}. Leave the option Output out.");
        return format;
    }

    private static void Report(string path, WeightsFileOptions options, IReadOnlyList<WeightsAssumption> assumptions)
    {
        foreach (var assumption in assumptions)
            options.Report(path, assumption);
    }

    /// <summary>Selects the weights of an entry that is a prefix of names, not a dictionary of the checkpoint, which its reader selects.</summary>
    /// <returns>The weights, and the prefix without the path of the dictionary.</returns>
    private static (StateDict State, string Prefix) Select(string path, OpenedWeights opened, string entry)
    {
        string[] known = [.. opened.Entries.Concat(StatePrefixes.Prefixes(opened.State).Select(prefix => Joined(opened.Entry, prefix))).Where(name => name.Length > 0).Distinct()];
        string prefix = opened.Entry.Length > 0 && entry.StartsWith(opened.Entry + ".", StringComparison.Ordinal) ? entry[(opened.Entry.Length + 1)..] : entry;
        return StatePrefixes.Select(opened.State, prefix) is { } state ? (state, prefix) : throw new InvalidDataException(
            $"'{path}' has no entry '{entry}' of weights. {(known.Length > 0 ? $"It has '{MessageText.Join(known, separator: "', '")}'." : "Its weights are not in entries.")}");
    }

    /// <summary>Joins the path of a dictionary and prefixes of names in it, each of which can be empty or end in a dot.</summary>
    private static string Joined(params ReadOnlySpan<string> parts) => string.Join('.', parts.ToArray().Select(part => part.TrimEnd('.')).Where(part => part.Length > 0));

    /// <summary>Determines the names, the form, the number of classes and the architecture of weights.</summary>
    private static LoadedWeights Identify(string path, OpenedWeights opened, WeightsFileOptions options)
    {
        var (state, description) = opened;
        LoadedWeights weights;
        try
        {
            var (prefix, entry, entries) = ("", opened.Entry, opened.Entries);
            string[] networks = StatePrefixes.Prefixes(state);
            if (networks.Length > 1)
            {
                // The dictionary holds several networks, each of which is an entry of its own.
                entries = [.. (entries.Count > 0 ? entries : [""]).SelectMany(other => other != opened.Entry ? [other] : networks.Select(network => Joined(other, network)))];
            }
            if (options.Entry is { } wanted && wanted != opened.Entry && !opened.Entry.StartsWith(wanted + ".", StringComparison.Ordinal))
            {
                // A part of the dictionary: one of its networks, or all names under a prefix.
                prefix = networks.Length > 1 ? Array.Find(networks, network => wanted == network.TrimEnd('.') || wanted == Joined(opened.Entry, network)) ?? "" : "";
                if (prefix.Length == 0)
                {
                    (state, string selected) = Select(path, opened, wanted);
                    prefix = StatePrefixes.Choose(StatePrefixes.Prefixes(state));
                    entry = Joined(entry, selected, networks.Length > 1 ? prefix : "");
                }
                else
                {
                    state = StatePrefixes.SelectNetwork(state, prefix);
                    entry = Joined(entry, prefix);
                }
            }
            else
            {
                prefix = StatePrefixes.Choose(networks);
                entry = Joined(entry, networks.Length > 1 ? prefix : "");
            }
            state = StoredValues.Checked($"'{path}'", state, options.BatchNormEpsilon ?? description?.Architecture.BatchNormEpsilon ?? opened.Told?.Architecture.BatchNormEpsilon ?? RepVggArchitecture.DefaultBatchNormEpsilon);
            state = StatePrefixes.Remove(state, prefix);
            string? origin = opened.Origin;
            if (TimmNames.AreIn(state))
                (state, origin) = (TimmNames.ToAuthors(state), "timm");
            else if (MmPretrainNames.AreIn(state))
                (state, origin) = (MmPretrainNames.ToAuthors(state), "MMPretrain");
            var form = StateInference.FormOf(state);
            int classes = StateLayout.ClassesOf(state);
            if (description is not null && description.Classes != classes)
                throw new ArgumentException($"The description of the network is that of {description.Classes} classes, but its weights are those {StateLayout.WithClasses(classes)}.");
            var architecture = description?.Architecture ?? opened.Told?.Architecture ?? StateInference.Infer(state, options.TrainingForm, options.Strides);
            weights = new LoadedWeights(state, form, architecture, classes, description)
            {
                Entry = entry,
                Entries = entries,
                LeftOut = opened.LeftOut,
                Origin = origin,
                ToldSize = opened.Told?.ImageSize,
                IsPaddedBySize = opened.Told is { IsPaddedBySize: true },
                Options = options,
            };
        }
        catch (ArgumentException error)
        {
            throw new InvalidDataException($"'{path}' holds no weights of a RepVGG network{With(options)}: {MessageText.Reason(error)}.{Advice(opened, options)}", error);
        }
        var found = options.Entry is null && weights.Entries.Count > 1 ? opened.Assumptions.Append(WeightsAssumption.EntryOf(weights.Entry, weights.Entries)) : opened.Assumptions;
        weights = WeightsAssumptions.Complete(path, weights, [.. found], opened.Told);
        CheckImageSize(path, weights, options.Limits);
        Report(path, options, weights.Assumptions);
        return weights;
    }

    private static void CheckImageSize(string path, LoadedWeights weights, WeightsFileLimits limits)
    {
        try
        {
            limits.CheckImage(weights.Architecture.InputChannels, weights.ImageHeight, weights.ImageWidth);
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException($"'{path}' cannot be used: {error.Message}.", error);
        }
    }

    /// <summary>Names the parts of a file that can be read alone; empty if there are none, or the caller has given one.</summary>
    private static string Advice(OpenedWeights opened, WeightsFileOptions options)
    {
        string[] parts = [.. opened.Entries.Where(entry => entry != opened.Entry).Concat(StatePrefixes.Parts(opened.State).Select(part => Joined(opened.Entry, part)))];
        return options.Entry is not null || parts.Length == 0 ? "" : $" With the option Entry, a part of the file is read alone: '{MessageText.Join(parts, separator: "', '")}'.";
    }

    /// <summary>Describes the options from which an architecture is inferred.</summary>
    private static string With(WeightsFileOptions options) => string.Concat(
        options.TrainingForm is { } form ? $" of training form {form}" : "", options.Strides is { } strides ? $" with strides {string.Join(", ", strides)}" : "");
}
