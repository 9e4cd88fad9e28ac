using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using RepVgg.Networks;

namespace RepVgg.Weights.Onnx;

/// <summary>How a graph that is one part of a chain of transformers differs from the network alone. The metadata of the file contain it.</summary>
internal sealed record OnnxChainDetails
{
    private const string BackgroundKey = "repvgg.background";
    private const string GainKey = "repvgg.logits_gain";
    private const string OffsetsKey = "repvgg.logits_offsets";
    private const string TransformerKey = "repvgg.transformer";

    /// <summary>The background on which <see cref="OnnxComposition"/> puts images, one value for each channel of the network; empty if the graph has no such nodes.</summary>
    public ImmutableArray<byte> Background { get; init; } = [];

    /// <summary>The scale of the graph's output; null if the output is the logits or features.</summary>
    public LogitsScale? Scale { get; init; }

    /// <summary>Description of the transformer that was saved as the chain, which the ML.NET library writes and reads; null if there is none.</summary>
    public string? Transformer { get; init; }

    /// <summary>Converts the details to key-value pairs of strings.</summary>
    public IEnumerable<KeyValuePair<string, string>> ToProperties()
    {
        if (!Background.IsEmpty)
            yield return new(BackgroundKey, $"[{string.Join(',', Background)}]");
        if (Scale is not null)
        {
            yield return new(GainKey, Text(Scale.Gain));
            yield return new(OffsetsKey, $"[{string.Join(',', Scale.Offsets.Select(Text))}]");
        }
        if (Transformer is not null)
            yield return new(TransformerKey, Transformer);

        static string Text(float value) => value.ToString("R", CultureInfo.InvariantCulture);
    }

    /// <summary>Reads the details from the properties that <see cref="ToProperties"/> returned; they are empty if there are none.</summary>
    /// <exception cref="InvalidDataException">A property is damaged. The message contains only the reason.</exception>
    public static OnnxChainDetails FromProperties(IReadOnlyDictionary<string, string> properties) => new()
    {
        Background = Parse(properties, BackgroundKey, value => value.EnumerateArray().Select(item => item.GetByte()).ToImmutableArray(), []),
        Scale = properties.ContainsKey(GainKey)
            ? new LogitsScale(
                Parse(properties, GainKey, value => value.GetSingle(), 1),
                Parse(properties, OffsetsKey, value => value.EnumerateArray().Select(item => item.GetSingle()).ToImmutableArray(), []))
            : null,
        Transformer = properties.GetValueOrDefault(TransformerKey),
    };

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

/// <summary>The scale of a graph's output z: the logits are Gain * z + Offsets.</summary>
/// <param name="Gain">The factor, greater than 0.</param>
/// <param name="Offsets">The offset of each class.</param>
internal sealed record LogitsScale(float Gain, ImmutableArray<float> Offsets)
{
    /// <summary>Changes the last layer of a network from logits to z.</summary>
    public DeployNetwork Apply(DeployNetwork network) =>
        WithClassifier(network, weight => weight / Gain, (bias, offset) => (bias - offset) / Gain);

    /// <summary>Changes the last layer of a network from z to logits.</summary>
    /// <exception cref="InvalidDataException">The number of offsets is not the number of classes, or the gain is not positive.</exception>
    public DeployNetwork Undo(DeployNetwork network) =>
        Offsets.Length == network.Classes && Gain > 0
            ? WithClassifier(network, weight => weight * Gain, (bias, offset) => bias * Gain + offset)
            : throw new InvalidDataException(string.Create(CultureInfo.InvariantCulture, $"the scale of its output has {Offsets.Length} offsets and a gain of {Gain} for {network.Classes} classes"));

    private DeployNetwork WithClassifier(DeployNetwork network, Func<float, float> weight, Func<float, float, float> bias) => network with
    {
        Classifier = network.Classifier with
        {
            Weight = [.. network.Classifier.Weight.Select(weight)],
            Bias = [.. network.Classifier.Bias.Zip(Offsets, bias)],
        },
    };
}
