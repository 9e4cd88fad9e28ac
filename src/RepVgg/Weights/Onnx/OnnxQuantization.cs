using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;
using RepVgg.Networks;

namespace RepVgg.Weights.Onnx;

/// <summary>
/// Writes the operations of quantized networks, in the form (QDQ) of which ONNX Runtime makes integer convolutions: each input of a convolution has its own DequantizeLinear, and its
/// output goes to one QuantizeLinear, through one ReLU at most.
/// </summary>
internal static class OnnxQuantization
{
    /// <summary>The oldest operator set with scales per channel.</summary>
    public const int OldestOpset = 13;

    private const string DetailsKey = "repvgg.quantization";

    /// <summary>Converts the details of a quantization to a property of the file.</summary>
    public static IEnumerable<KeyValuePair<string, string>> ToProperties(QuantizationDetails? details)
    {
        if (details is not null)
            yield return new(DetailsKey, JsonSerializer.Serialize(details, OnnxQuantizationJson.Default.QuantizationDetails));
    }

    /// <summary>Reads the details from the properties of a file; null if there are none.</summary>
    /// <exception cref="InvalidDataException">The property is damaged. The message contains only the reason.</exception>
    public static QuantizationDetails? FromProperties(IReadOnlyDictionary<string, string> properties)
    {
        if (!properties.TryGetValue(DetailsKey, out string? text))
            return null;
        try
        {
            return JsonSerializer.Deserialize(text, OnnxQuantizationJson.Default.QuantizationDetails);
        }
        catch (JsonException error)
        {
            throw new InvalidDataException($"the property '{DetailsKey}' is damaged: {error.Message}", error);
        }
    }

    /// <summary>Adds a value that is stored as bytes: QuantizeLinear and DequantizeLinear.</summary>
    /// <returns>The name of the dequantized value.</returns>
    public static string Store(OnnxGraphBuilder graph, string name, string value, QuantizationParameters parameters)
    {
        string scale = graph.Constant($"{name}.scale", [], [parameters.Scale], OnnxPrecision.Single);
        string zeroPoint = graph.Constant($"{name}.zero_point", [], ImmutableArray.Create(parameters.ZeroPoint));
        string stored = graph.Node("QuantizeLinear", $"{name}/quantize", [value, scale, zeroPoint]);
        return graph.Node("DequantizeLinear", $"{name}/dequantize", [stored, scale, zeroPoint]);
    }

    /// <summary>Adds the weights and biases of a layer, with a scale for each output channel.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="name">Prefix of the names.</param>
    /// <param name="shape">Shape of the weights, the output channel first.</param>
    /// <param name="weights">The integers.</param>
    /// <param name="input">How the input of the layer is stored: the scale of a bias is the product of its scale and that of the channel.</param>
    /// <returns>The names of the dequantized weights and biases.</returns>
    public static (string Weights, string Biases) Weights(OnnxGraphBuilder graph, string name, int[] shape, QuantizedWeights weights, QuantizationParameters input)
    {
        int outputs = shape[0];
        string scales = graph.Constant($"{name}.weight.scale", [outputs], weights.Scales, OnnxPrecision.Single);
        string zeros = graph.Constant($"{name}.weight.zero_point", [outputs], ImmutableArray.Create(new sbyte[outputs]));
        string integers = graph.Constant($"{name}.weight.integers", shape, weights.Weights);
        string biasScales = graph.Constant($"{name}.bias.scale", [outputs], [.. weights.Scales.Select(scale => input.Scale * scale)], OnnxPrecision.Single);
        string biasZeros = graph.Constant($"{name}.bias.zero_point", [outputs], ImmutableArray.Create(new int[outputs]));
        string biases = graph.Constant($"{name}.bias.integers", [outputs], weights.Biases);
        return (graph.Node("DequantizeLinear", $"{name}.weight", [integers, scales, zeros], ("axis", 0)),
            graph.Node("DequantizeLinear", $"{name}.bias", [biases, biasScales, biasZeros], ("axis", 0)));
    }
}

/// <summary>How details of a quantization are written as JSON.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(QuantizationDetails))]
internal sealed partial class OnnxQuantizationJson : JsonSerializerContext;
