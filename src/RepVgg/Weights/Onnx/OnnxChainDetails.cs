using System.Collections.Immutable;
using System.Text.Json;

namespace RepVgg.Weights.Onnx;

/// <summary>How a graph that is one part of a chain of transformers differs from the network alone. The metadata of the file contain it.</summary>
internal sealed record OnnxChainDetails
{
    private const string BackgroundKey = "repvgg.background";
    private const string CropKey = "repvgg.crop";
    private const string TransformerKey = "repvgg.transformer";

    /// <summary>The background on which <see cref="OnnxComposition"/> puts images, one value for each channel of the network; empty if the graph has no such nodes.</summary>
    public ImmutableArray<byte> Background { get; init; } = [];

    /// <summary>The part of the graph's input that the network reads; null if it reads the whole.</summary>
    public OnnxCrop? Crop { get; init; }

    /// <summary>Description of the transformer that was saved as the chain, which the ML.NET library writes and reads; null if there is none.</summary>
    public string? Transformer { get; init; }

    /// <summary>Converts the details to key-value pairs of strings.</summary>
    public IEnumerable<KeyValuePair<string, string>> ToProperties()
    {
        if (!Background.IsEmpty)
            yield return new(BackgroundKey, $"[{string.Join(',', Background)}]");
        if (Crop is { } crop)
            yield return new(CropKey, FormattableString.Invariant($"[{crop.InputHeight},{crop.InputWidth},{crop.Top},{crop.Left},{crop.Height},{crop.Width}]"));
        if (Transformer is not null)
            yield return new(TransformerKey, Transformer);
    }

    /// <summary>Reads the details from the properties that <see cref="ToProperties"/> returned; they are empty if there are none.</summary>
    /// <exception cref="InvalidDataException">A property is damaged. The message contains only the reason.</exception>
    public static OnnxChainDetails FromProperties(IReadOnlyDictionary<string, string> properties) => new()
    {
        Background = Parse(properties, BackgroundKey, value => value.EnumerateArray().Select(item => item.GetByte()).ToImmutableArray(), []),
        Crop = Parse(properties, CropKey, ReadCrop, null),
        Transformer = properties.GetValueOrDefault(TransformerKey),
    };

    private static OnnxCrop? ReadCrop(JsonElement value)
    {
        int[] numbers = [.. value.EnumerateArray().Select(item => item.GetInt32())];
        var crop = numbers.Length == 6 ? new OnnxCrop(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]) : null;
        return crop is { IsValid: true } ? crop : throw new FormatException("it is not a part of an image");
    }

    private static T Parse<T>(IReadOnlyDictionary<string, string> properties, string key, Func<JsonElement, T> read, T otherwise)
    {
        if (!properties.TryGetValue(key, out string? text))
            return otherwise;
        try
        {
            using var document = JsonDocument.Parse(text);
            return read(document.RootElement);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or FormatException)
        {
            throw new InvalidDataException($"the property '{key}' is damaged: {error.Message}", error);
        }
    }
}
