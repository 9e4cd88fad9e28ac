using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Runtime;
using RepVgg.Training.Data;

namespace RepVgg.Training;

/// <summary>Describes everything that the result of a run depends on, as a JSON object with a part each for the data, the network and the options.</summary>
/// <remarks>All numbers are JSON numbers, which do not depend on the culture.</remarks>
internal static class RunFingerprint
{
    /// <summary>Changes whenever the same run is described in another way.</summary>
    private const int Version = 7;

    private const string VersionKey = "Version", DataKey = "data", NetworkKey = "network", OptionsKey = "options";

    /// <summary>Describes labelled images. All are read once, except those whose hash is known.</summary>
    /// <param name="train">The training set.</param>
    /// <param name="validation">The validation set, or null.</param>
    /// <param name="cancellation">Checked at every image.</param>
    /// <returns>The description; null if the call was cancelled.</returns>
    public static JsonObject? Describe(ISampleSource train, ISampleSource? validation, CancellationToken cancellation)
    {
        var data = new JsonObject();
        return TryDescribe(train, "Training", data, cancellation) && (validation is null || TryDescribe(validation, "Validation", data, cancellation)) ? data : null;
    }

    /// <summary>Describes a run.</summary>
    /// <param name="network">The network with its initial weights.</param>
    /// <param name="data">The description of the data, which becomes part of the result.</param>
    /// <param name="normalization">The normalisation of the images.</param>
    /// <param name="options">The options.</param>
    public static JsonObject Of(TrainingNetwork network, JsonObject data, Normalization normalization, TrainingOptions options)
    {
        var architecture = network.Architecture;
        var description = new JsonObject
        {
            [VersionKey] = Version,
            [DataKey] = data,
            [NetworkKey] = new JsonObject
            {
                ["Architecture"] = architecture.Name,
                ["Blocks"] = new JsonArray([.. architecture.Blocks.Select(Describe)]),
                ["BatchNormEpsilon"] = architecture.BatchNormEpsilon,
                ["Classes"] = network.Classes,
                ["Pretrained weights"] = network.PretrainedHash is { } hash ? hash : "none",
                [nameof(network.FrozenStages)] = network.FrozenStages,
                ["FreezeBatchNorm"] = network.FreezesBatchNorm,
                ["Mean"] = ToJson(normalization.Mean),
                ["Scale"] = ToJson(normalization.Scale),
            },
            [OptionsKey] = JsonSerializer.SerializeToNode(
                options with { LearningRate = options.ActualLearningRate, WeightDecay = options.ActualWeightDecay }, RunFingerprintJson.Default.TrainingOptions),
        };
        if (network.Quantized is { } quantized)
        {
            description[NetworkKey]!["Quantized"] = new JsonObject
            {
                [nameof(quantized.LargestWeight)] = quantized.LargestWeight,
                [nameof(quantized.Classifier)] = quantized.Classifier,
                [nameof(quantized.FloatBlocks)] = new JsonArray([.. quantized.FloatBlocks.Distinct().Order(StringComparer.Ordinal).Select(name => (JsonNode)name)]),
            };
        }
        if (network.Segmentation is { } segmentation)
            description[NetworkKey]!["Heads"] = JsonNode.Parse(Weights.ModelDescription.Json(static (writer, heads) => heads.Write(writer), segmentation));
        if (network.ScalesHash is { } scales)
            description[NetworkKey]!["Scales"] = scales;
        return description;
    }

    /// <summary>Whether a description can be compared with those that <see cref="Of"/> returns.</summary>
    public static bool IsCurrent(JsonObject written) =>
        written[VersionKey] is JsonValue value && value.TryGetValue(out int version) && version == Version;

    /// <summary>Returns the part that differs and its first differences, as a clause for an error message; null if there is no difference.</summary>
    /// <param name="written">A description of the current version.</param>
    /// <param name="present">The description of this run.</param>
    public static string? Difference(JsonObject written, JsonObject present)
    {
        foreach (string part in new[] { DataKey, NetworkKey, OptionsKey })
        {
            string[] differences = [.. Differences("", written[part] as JsonObject ?? [], present[part]!.AsObject())];
            if (differences.Length > 0)
                return $"the {part} {(part == NetworkKey ? "differs" : "differ")} ({string.Join("; ", differences.Take(3))}{(differences.Length > 3 ? "; ..." : "")})";
        }
        return null;
    }

    /// <summary>Describes the properties that differ. Of objects with the same properties, such as an optimizer with another hyperparameter, only the properties that differ.</summary>
    private static IEnumerable<string> Differences(string prefix, JsonObject written, JsonObject present)
    {
        foreach (string name in Names(present).Union(Names(written)))
        {
            if (written[name] is JsonObject before && present[name] is JsonObject now && Names(before).SequenceEqual(Names(now)))
            {
                foreach (string difference in Differences($"{prefix}{name}.", before, now))
                    yield return difference;
                continue;
            }
            string then = written[name]?.ToJsonString() ?? "not given", actual = present[name]?.ToJsonString() ?? "not given";
            if (then != actual)
                yield return $"{MessageText.Printable(prefix + name)} was {MessageText.Printable(then)} and is {MessageText.Printable(actual)}";
        }
    }

    private static IEnumerable<string> Names(JsonObject json) => json.Select(property => property.Key);

    private static JsonNode Describe(BlockSpec block) => FormattableString.Invariant(
        $"{block.Name}:{block.InputChannels}-{block.OutputChannels}/{block.Stride}g{block.Groups}{block.SqueezeExcitation}{block.Form}k{block.ConvolutionBranches}l{block.Layers}")
        + (block.Dilation == 1 && block.Geometry.IsCentred ? "" : FormattableString.Invariant($"d{block.Dilation}p{block.PaddingTop},{block.PaddingLeft}"));

    private static JsonArray ToJson(ImmutableArray<float> values) => new([.. values.Select(value => (JsonNode)value)]);

    /// <summary>Adds the number and size of the images of a set, and the hashes of its labels and of its pixels in their order.</summary>
    /// <returns>False if the call was cancelled.</returns>
    private static bool TryDescribe(ISampleSource source, string set, JsonObject data, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        int[] labels = [.. Enumerable.Range(0, source.Count).Select(source.LabelOf)];
        hash.AppendData(MemoryMarshal.AsBytes(labels.AsSpan()));
        string labelHash = Text(hash);

        float[] pixels = new float[source.Channels * source.Height * source.Width];
        byte[] buffer = new byte[pixels.Length];
        bool haveOwnSizes = false;
        for (int i = 0; i < source.Count; i++)
        {
            if (cancellation.IsCancellationRequested)
                return false;
            var size = source.SizeOf(i);
            bool hasOwnSize = size != (source.Height, source.Width);
            if (hasOwnSize || !source.HashOf(i).IsEmpty)
            {
                haveOwnSizes |= hasOwnSize;
                AppendWhole(hash, source, i, size, ref buffer);
                continue;
            }
            var bytes = source.ReadBytes(i, buffer);
            if (bytes.IsEmpty)
            {
                source.Read(i, pixels);
                // Sources may hold the same values as bytes or as floats.
                bytes = SampleShape.TryNarrow(pixels, buffer.AsSpan(0, pixels.Length)) ? buffer.AsSpan(0, pixels.Length) : MemoryMarshal.AsBytes(pixels.AsSpan());
            }
            hash.AppendData([(byte)(bytes.Length == pixels.Length ? 1 : sizeof(float))]);
            hash.AppendData(bytes);
        }
        data[$"{set} set"] = FormattableString.Invariant($"{source.Count} images of {source.Channels} x {source.Height} x {source.Width}{(haveOwnSizes ? ", cut out of images of other sizes" : "")}");
        data[$"{set} labels"] = labelHash;
        data[$"{set} pixels"] = Text(hash);
        if (source.HasWeights)
        {
            float[] weights = [.. Enumerable.Range(0, source.Count).Select(source.WeightOf)];
            hash.AppendData(MemoryMarshal.AsBytes(weights.AsSpan()));
            data[$"{set} weights"] = Text(hash);
        }
        return true;
    }

    /// <summary>Adds the size of an image and the hash of its pixels, which are read if it is not known.</summary>
    private static void AppendWhole(IncrementalHash hash, ISampleSource source, int index, (int Height, int Width) size, ref byte[] buffer)
    {
        const byte Marker = 2;
        hash.AppendData([Marker]);
        hash.AppendData(MemoryMarshal.AsBytes<int>([size.Height, size.Width]));
        if (source.HashOf(index) is { IsEmpty: false } known)
        {
            hash.AppendData(known);
            return;
        }
        int length = source.Channels * size.Height * size.Width;
        if (buffer.Length < length)
            buffer = new byte[length];
        hash.AppendData(SHA256.HashData(source.ReadBytes(index, buffer)));
    }

    private static string Text(IncrementalHash hash) => Convert.ToHexStringLower(hash.GetHashAndReset());
}

/// <summary>Source-generated JSON serialization, which does not use reflection. Properties with <see cref="JsonIgnoreAttribute"/> have no influence on the result of a run.</summary>
[JsonSourceGenerationOptions(UseStringEnumConverter = true, NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(TrainingOptions))]
internal sealed partial class RunFingerprintJson : JsonSerializerContext;
