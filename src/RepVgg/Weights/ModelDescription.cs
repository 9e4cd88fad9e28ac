using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.Json;
using RepVgg.Architectures;
using RepVgg.Runtime;

namespace RepVgg.Weights;

/// <summary>The metadata of a network that weights files contain: everything except the weights.</summary>
/// <param name="Architecture">Architecture of the network.</param>
/// <param name="Classes">Number of classes; 0 for a network whose output is features.</param>
/// <param name="ImageHeight">Input height in pixels.</param>
/// <param name="ImageWidth">Input width in pixels.</param>
/// <param name="Normalization">Normalization of the input, (x - mean) * scale per channel.</param>
/// <param name="ClassLabels">Names of the classes in the order of the logits; empty if they are unknown.</param>
public sealed record ModelDescription(
    RepVggArchitecture Architecture,
    int Classes,
    int ImageHeight,
    int ImageWidth,
    Normalization Normalization,
    ImmutableArray<string> ClassLabels)
{
    private const string ArchitectureKey = "repvgg.architecture";
    private const string ClassesKey = "repvgg.classes";
    private const string ImageSizeKey = "repvgg.image_size";
    private const string NormalizationKey = "repvgg.normalization";
    private const string ClassLabelsKey = "repvgg.class_labels";

    // A 3x3 kernel of one channel, and its bias.
    private const int LeastWeightsOfBlock = 10;

    /// <summary>Converts the description to key-value pairs of strings, which file formats store as metadata.</summary>
    internal IReadOnlyList<KeyValuePair<string, string>> ToProperties() =>
    [
        new(ArchitectureKey, Json(ArchitectureJson.Write, Architecture)),
        new(ClassesKey, Classes.ToString(CultureInfo.InvariantCulture)),
        .. InputProperties(ImageHeight, ImageWidth, Normalization, ClassLabels),
    ];

    /// <summary>Converts what a network reads, and the names of its classes, to key-value pairs of strings.</summary>
    internal static IEnumerable<KeyValuePair<string, string>> InputProperties(int height, int width, Normalization normalization, ImmutableArray<string> labels)
    {
        yield return new(ImageSizeKey, Json(static (writer, size) => WriteNumbers(writer, [size.Height, size.Width]), (Height: height, Width: width)));
        yield return new(NormalizationKey, Json(WriteNormalization, normalization));
        if (!labels.IsDefaultOrEmpty)
            yield return new(ClassLabelsKey, Json(WriteTexts, labels));
    }

    /// <summary>Reads what <see cref="InputProperties"/> returned.</summary>
    /// <param name="properties">The properties of a file.</param>
    /// <param name="channels">Number of channels of the images.</param>
    /// <exception cref="FormatException">A property is missing or damaged.</exception>
    internal static (int Height, int Width, Normalization Normalization, ImmutableArray<string> Labels) ReadInput(IReadOnlyDictionary<string, string> properties, int channels)
    {
        int[] size = Parse(properties, ImageSizeKey, value => value.EnumerateArray().Select(item => item.GetInt32()).ToArray());
        if (size.Length != 2)
            throw new FormatException($"the property '{ImageSizeKey}' is invalid: it has {size.Length} numbers");
        var normalization = Parse(properties, NormalizationKey, value => new Normalization(Floats(value.GetProperty("mean"), channels), Floats(value.GetProperty("scale"), channels)));
        if (normalization.Problem(channels) is { } problem)
            throw new FormatException($"the property '{NormalizationKey}' is invalid: {problem}");
        ImmutableArray<string> labels = properties.ContainsKey(ClassLabelsKey)
            ? Parse(properties, ClassLabelsKey, value => value.EnumerateArray().Select(item => item.GetString() ?? "").ToImmutableArray())
            : [];
        return (size[0], size[1], normalization, labels);
    }

    /// <summary>Reads a property whose value is JSON.</summary>
    /// <exception cref="FormatException">The property is missing or damaged.</exception>
    internal static T Parse<T>(IReadOnlyDictionary<string, string> properties, string key, Func<JsonElement, T> read)
    {
        if (!properties.TryGetValue(key, out string? text))
            throw new FormatException($"the property '{key}' is missing");
        try
        {
            using var document = JsonDocument.Parse(text);
            return read(document.RootElement);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or KeyNotFoundException or FormatException or ArgumentException)
        {
            throw new FormatException($"the property '{key}' is damaged: {MessageText.Reason(error)}", error);
        }
    }

    /// <summary>Reads a description from the properties that <see cref="ToProperties"/> returned.</summary>
    /// <param name="properties">The properties of a file.</param>
    /// <param name="values">Number of values of all tensors in the file.</param>
    /// <returns>The description; null if the properties contain none.</returns>
    /// <exception cref="FormatException">The properties contain a damaged description, or that of a network with more weights than the file has.</exception>
    internal static ModelDescription? FromProperties(IReadOnlyDictionary<string, string> properties, long values)
    {
        if (!properties.ContainsKey(ArchitectureKey))
            return null;
        var architecture = Parse(properties, ArchitectureKey, ArchitectureJson.Read);
        // Checked before the blocks are enumerated, of which a small description can claim thousands.
        CheckWeights(architecture.Stages.Sum(stage => (long)stage.Depth) * LeastWeightsOfBlock);
        int classes = Parse(properties, ClassesKey, value => value.GetInt32());
        var (height, width, normalization, labels) = ReadInput(properties, architecture.InputChannels);
        if (classes < 0 || (labels.Length != 0 && labels.Length != classes))
            throw new FormatException("the classes, labels and image size of the description are inconsistent");
        try
        {
            architecture.ValidateImageSize(height, width);
        }
        catch (ArgumentException error)
        {
            throw new FormatException($"the property '{ImageSizeKey}' is invalid: {MessageText.Reason(error)}", error);
        }
        CheckWeights(LeastWeights(architecture, classes));
        return new ModelDescription(architecture, classes, height, width, normalization, labels);

        void CheckWeights(Int128 weights)
        {
            if (weights > values)
                throw new FormatException(string.Create(CultureInfo.InvariantCulture, $"its description is of a network with {weights} weights or more, but its tensors have {values} values"));
        }
    }

    /// <summary>Counts the weights of a network in its smallest form, the deploy form.</summary>
    private static Int128 LeastWeights(RepVggArchitecture architecture, int classes) => architecture.Blocks.Aggregate(
        ((Int128)architecture.FeatureWidth + 1) * classes,
        (sum, block) => sum + (9L * (block.InputChannels / block.Groups) + 1) * block.OutputChannels + 2L * block.SqueezeWidth * block.OutputChannels);

    private static ImmutableArray<float> Floats(JsonElement values, int count)
    {
        if (values.GetArrayLength() != count)
            throw new FormatException($"it has {values.GetArrayLength()} values for {count} channels");
        return [.. values.EnumerateArray().Select(value => value.GetSingle())];
    }

    private static void WriteNormalization(Utf8JsonWriter writer, Normalization normalization)
    {
        writer.WriteStartObject();
        writer.WritePropertyName("mean");
        WriteNumbers(writer, normalization.Mean.AsSpan());
        writer.WritePropertyName("scale");
        WriteNumbers(writer, normalization.Scale.AsSpan());
        writer.WriteEndObject();
    }

    private static void WriteNumbers(Utf8JsonWriter writer, ReadOnlySpan<float> values)
    {
        writer.WriteStartArray();
        foreach (float value in values)
            writer.WriteNumberValue(value);
        writer.WriteEndArray();
    }

    private static void WriteTexts(Utf8JsonWriter writer, ImmutableArray<string> values)
    {
        writer.WriteStartArray();
        foreach (string value in values)
            writer.WriteStringValue(value);
        writer.WriteEndArray();
    }

    internal static string Json<T>(Action<Utf8JsonWriter, T> write, T value)
    {
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream))
            write(writer, value);
        return Encoding.UTF8.GetString(stream.GetBuffer(), 0, (int)stream.Length);
    }
}
