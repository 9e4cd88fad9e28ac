using System.IO.Compression;
using System.Text.Json;
using System.Text.RegularExpressions;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;
using RepVgg.Weights.Hdf5;

namespace RepVgg.Weights.Keras;

/// <summary>The kind of a layer with weights.</summary>
internal enum KerasLayerKind
{
    Convolution,
    BatchNorm,
    Dense,
}

/// <summary>A layer with weights.</summary>
/// <param name="Kind">Its kind.</param>
/// <param name="Name">Its name in the file.</param>
/// <param name="Weights">Its weights by their Keras names: kernel and bias, or gamma, beta, moving_mean and moving_variance.</param>
internal sealed record KerasLayer(KerasLayerKind Kind, string Name, IReadOnlyDictionary<string, Hdf5Dataset> Weights)
{
    /// <summary>Shape of the kernel: [height, width, inputs / groups, outputs] of a convolution, [inputs, outputs] of a dense layer.</summary>
    public int[] Kernel => Weights["kernel"].Shape;
}

/// <summary>The layers of a Keras file: weights (.h5, .weights.h5) or a whole model (.h5, .keras).</summary>
/// <remarks>
/// Layers are ordered within their kind by the numbers in their names, which count how the model's code created them: conv2d, conv2d_1, conv2d_2. If their names are of another kind, the order of the file is used. The configuration of a whole
/// model is read as data; nothing in the file is executed. Sources: Keras 2.15, saving/legacy/hdf5_format.py; Keras 3.6, saving/saving_lib.py and legacy/saving/legacy_h5_format.py.
/// </remarks>
internal sealed partial class KerasFile
{
    private const string WeightsEntry = "model.weights.h5", ConfigEntry = "config.json", MetadataEntry = "metadata.json";
    private const int MaximumDepth = 16;
    private const int MaximumConfig = 64 << 20;

    private static readonly string[] _normWeights = ["gamma", "beta", "moving_mean", "moving_variance"];
    private static readonly string[] _kernelWeights = ["kernel", "bias"];

    private readonly List<KerasLayer> _layers = [];

    private KerasFile(Hdf5Group root, string? config, string description)
    {
        (Config, Description) = (KerasConfig.Parse(config), description);
        if (root.Contains("layers") || root.Contains("_layer_checkpoint_dependencies"))
            ReadLayers(root, 0);
        else if (root.Texts("layer_names") is { } names)
            ReadLegacyLayers(root, names);
        else
            throw new InvalidDataException("it has neither the attribute 'layer_names' nor the group 'layers' of a Keras model, so that it is another HDF5 file");
        if (_layers.Count == 0)
            throw new InvalidDataException("it has no layer with weights");
    }

    /// <summary>What the file is, such as <c>Keras 2.4.0</c>.</summary>
    public string Description { get; }

    /// <summary>The configuration of the model; null for files of weights.</summary>
    public KerasConfig? Config { get; }

    /// <summary>Whether a file is an HDF5 file or a .keras archive.</summary>
    /// <param name="start">The first bytes of the file.</param>
    public static bool IsLikely(ReadOnlySpan<byte> start)
    {
        const int NameOffset = 30;
        // A local header of a zip file, with the name of the entry behind it.
        return Hdf5File.IsLikely(start) || (start.StartsWith("PK\x3\x4"u8) && start.Length > NameOffset
            && (start[NameOffset..].StartsWith("metadata.json"u8) || start[NameOffset..].StartsWith("config.json"u8) || start[NameOffset..].StartsWith("model.weights.h5"u8)));
    }

    /// <summary>Reads the names and shapes of the layers in a file, whose values stay in it.</summary>
    /// <exception cref="InvalidDataException">The file is damaged, or no Keras file. The message contains only the reason.</exception>
    public static KerasFile Open(ByteSource source)
    {
        if (!Hdf5File.IsLikely(source.Read(0, (int)Math.Min(source.Length, 16))))
            return OpenArchive(source);
        var root = Hdf5File.Open(source).Root;
        string version = root.Text("keras_version") is { } known ? $"Keras {MessageText.Printable(known)}" : "Keras";
        bool isWhole = root.Texts("layer_names") is null && !root.Contains("layers") && root.Contains("model_weights");
        return isWhole
            ? new KerasFile(root.Group("model_weights"), root.Text("model_config"), $"{version}, a whole model")
            : new KerasFile(root, root.Text("model_config"), root.Contains("layers") ? "Keras 3, weights" : $"{version}, weights");
    }

    /// <summary>Returns the layers of a kind in the order in which the model's code created them.</summary>
    public IReadOnlyList<KerasLayer> LayersOf(KerasLayerKind kind)
    {
        KerasLayer[] layers = [.. _layers.Where(layer => layer.Kind == kind)];
        var numbered = Array.ConvertAll(layers, layer => NumberedName().Match(layer.Name[(layer.Name.LastIndexOf('/') + 1)..]));
        bool isNumbered = numbered.Select(match => match.Groups["name"].Value).Distinct().Count() <= 1;
        return isNumbered ? [.. layers.Select((layer, i) => (layer, Number: Number(numbered[i]))).OrderBy(entry => entry.Number).Select(entry => entry.layer)] : layers;

        static long Number(Match match) => match.Groups["number"].Success ? long.Parse(match.Groups["number"].ValueSpan, System.Globalization.CultureInfo.InvariantCulture) : 0;
    }

    /// <summary>Counts the batch norms between each addition and the one before it, in the order of the file's list of layers; null if the file has no such list.</summary>
    public IReadOnlyList<int>? NormsBetweenAdditions { get; private set; }

    private static KerasFile OpenArchive(ByteSource source)
    {
        using var archive = Archive(source);
        if (archive.GetEntry(WeightsEntry) is not { } weights)
        {
            throw new InvalidDataException(archive.GetEntry("model.weights.json") is not null
                ? "its weights are in several files (shards), which is not supported; save the model without max_shard_size"
                : $"it is a zip file without '{WeightsEntry}'");
        }
        // Deflate compresses at most 1,032 bytes to one.
        if (weights.Length > Array.MaxLength || weights.Length / 1032 > source.Length)
            throw new InvalidDataException($"its entry '{WeightsEntry}' has {weights.Length} bytes, more than can be read");
        byte[] unpacked = new byte[weights.Length];
        using (var stream = weights.Open())
            stream.ReadExactly(unpacked);
        string version = Text(archive, MetadataEntry) is { } metadata && KerasConfig.TextOf(metadata, "keras_version") is { } known ? $"Keras {MessageText.Printable(known)}" : "Keras 3";
        return new KerasFile(Hdf5File.Open(ByteSource.Of(new MemoryStream(unpacked))).Root, Text(archive, ConfigEntry), $"{version}, a whole model");
    }

    private static ZipArchive Archive(ByteSource source)
    {
        try
        {
            return new ZipArchive(new ByteSourceStream(source), ZipArchiveMode.Read);
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException($"its zip directory is damaged or was cut off: {MessageText.Reason(error)}", error);
        }
    }

    private static string? Text(ZipArchive archive, string name)
    {
        if (archive.GetEntry(name) is not { } entry)
            return null;
        if (entry.Length > MaximumConfig)
            throw new InvalidDataException($"its entry '{name}' has {entry.Length} bytes, more than {MaximumConfig}");
        byte[] text = new byte[entry.Length];
        using var stream = entry.Open();
        stream.ReadExactly(text);
        return System.Text.Encoding.UTF8.GetString(text);
    }

    /// <summary>Reads the layers of Keras 3: groups with a group <c>vars</c>, whose datasets are numbered.</summary>
    private void ReadLayers(Hdf5Group group, int depth)
    {
        if (depth > MaximumDepth)
            throw new InvalidDataException($"its layers are nested in more than {MaximumDepth} models");
        foreach (string container in (string[])["layers", "_layer_checkpoint_dependencies"])
        {
            if (!group.Contains(container))
                continue;
            var layers = group.Group(container);
            foreach (string name in layers.Names)
            {
                if (!layers.IsGroup(name))
                    continue;
                var layer = layers.Group(name);
                ReadLayers(layer, depth + 1);
                if (!layer.Contains("vars"))
                    continue;
                var variables = layer.Group("vars");
                var datasets = variables.Names.OrderBy(number => number.Length).ThenBy(number => number, StringComparer.Ordinal).Select(variables.Dataset).ToList();
                if (datasets.Count > 0)
                    Add(name, datasets.Select((dataset, i) => (i < NamesOf(datasets).Length ? NamesOf(datasets)[i] : $"{i}", dataset)));
            }
        }

        static string[] NamesOf(List<Hdf5Dataset> datasets) => datasets[0].Shape.Length == 1 ? _normWeights : _kernelWeights;
    }

    /// <summary>Reads the layers of Keras 2: groups that list the names of their weights, which are paths of datasets.</summary>
    private void ReadLegacyLayers(Hdf5Group root, IReadOnlyList<string> names)
    {
        var norms = new List<int>();
        int count = 0;
        foreach (string name in names)
        {
            if (name.StartsWith("add", StringComparison.Ordinal) && AddName().IsMatch(name))
            {
                norms.Add(count);
                count = 0;
            }
            var group = root.Group(name);
            foreach (var layer in (group.Texts("weight_names") ?? []).GroupBy(weight => weight.LastIndexOf('/') is >= 0 and var slash ? weight[..slash] : ""))
            {
                Add(layer.Key.Length == 0 ? name : layer.Key, layer.Select(weight => (weight[(weight.LastIndexOf('/') + 1)..].Split(':')[0], group.Dataset(weight))));
                count += _layers[^1].Kind == KerasLayerKind.BatchNorm ? 1 : 0;
            }
        }
        NormsBetweenAdditions = norms;
    }

    private void Add(string name, IEnumerable<(string Name, Hdf5Dataset Dataset)> weights)
    {
        var known = new Dictionary<string, Hdf5Dataset>(StringComparer.Ordinal);
        foreach (var (weight, dataset) in weights)
        {
            if (!known.TryAdd(weight, dataset))
                throw new InvalidDataException($"its layer '{MessageText.Printable(name)}' has two weights '{MessageText.Printable(weight)}'");
        }
        int rank = known.TryGetValue("kernel", out var kernel) ? kernel.Shape.Length : 0;
        KerasLayerKind? kind = rank == 4 ? KerasLayerKind.Convolution : rank == 2 ? KerasLayerKind.Dense : known.ContainsKey("moving_mean") ? KerasLayerKind.BatchNorm : null;
        string[] expected = kind == KerasLayerKind.BatchNorm ? _normWeights : _kernelWeights;
        if (kind is null || !known.Keys.All(expected.Contains) || (kind == KerasLayerKind.BatchNorm && known.Count != _normWeights.Length))
        {
            throw new InvalidDataException(
                $"its layer '{MessageText.Printable(name)}' has the weights {MessageText.Join([.. known.Select(weight => $"{weight.Key} [{string.Join(", ", weight.Value.Shape)}]")])}; a RepVGG has convolutions, batch norms with gamma and beta, and a dense layer");
        }
        int outputs = kind == KerasLayerKind.BatchNorm ? known["gamma"].Shape is [var channels] ? channels : -1 : kernel!.Shape[^1];
        foreach (var (weight, dataset) in known)
        {
            if (weight != "kernel" && !dataset.Shape.AsSpan().SequenceEqual([outputs]))
                throw new InvalidDataException($"'{MessageText.Printable(weight)}' of its layer '{MessageText.Printable(name)}' has the shape [{string.Join(", ", dataset.Shape)}], not [{outputs}]");
        }
        _layers.Add(new KerasLayer(kind.Value, name, known));
    }

    [GeneratedRegex(@"\A(?<name>.*?[^0-9_]|)(_(?<number>[0-9]{1,15}))?\z", RegexOptions.Singleline)]
    private static partial Regex NumberedName();

    [GeneratedRegex(@"\Aadd(_[0-9]+)?\z")]
    private static partial Regex AddName();
}
