using System.Text.Json;
using RepVgg.Runtime;

namespace RepVgg.Weights.Keras;

/// <summary>A layer of a model's configuration.</summary>
/// <param name="Class">Its class, such as <c>Conv2D</c>.</param>
/// <param name="Name">Its name.</param>
/// <param name="Settings">Its settings, a JSON object.</param>
internal sealed record KerasLayerConfig(string Class, string Name, JsonElement Settings)
{
    /// <summary>Gets a whole number; a list of equal numbers counts as one.</summary>
    public int? Integer(string name)
    {
        if (!Settings.TryGetProperty(name, out var value))
            return null;
        if (value.ValueKind == JsonValueKind.Array)
        {
            int[] numbers = [.. value.EnumerateArray().Where(item => item.TryGetInt32(out _)).Select(item => item.GetInt32())];
            return numbers.Length == value.GetArrayLength() && numbers.Distinct().Count() == 1 ? numbers[0]
                : throw new InvalidDataException($"{name} of its layer '{MessageText.Printable(Name)}' is {MessageText.Printable(value.GetRawText())}; it must be the same for height and width");
        }
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) ? number : null;
    }

    /// <summary>Gets a number.</summary>
    public double? Number(string name) => Settings.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : null;

    /// <summary>Gets a text.</summary>
    public string? Text(string name) => Settings.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}

/// <summary>The configuration of a Keras model: its layers and what they do beside their weights.</summary>
/// <param name="Layers">The layers of the model and of the models in it, in the order of the configuration.</param>
internal sealed record KerasConfig(IReadOnlyList<KerasLayerConfig> Layers)
{
    private const int MaximumDepth = 64;

    // Layers that a RepVGG and its ports have. Others compute something that is not known here.
    private static readonly HashSet<string> _known = new(StringComparer.Ordinal)
    {
        "InputLayer", "Conv2D", "BatchNormalization", "Add", "Activation", "ReLU", "Multiply", "GlobalAveragePooling2D", "GlobalAvgPool2D", "AveragePooling2D", "Reshape", "Dense", "Dropout", "Flatten", "Softmax", "ZeroPadding2D",
        "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "GetItem", "Functional", "Model", "Sequential",
    };

    /// <summary>Reads a configuration; null if there is none, or if it lists no layers.</summary>
    /// <param name="json">The text; null for none.</param>
    /// <exception cref="InvalidDataException">The text is not JSON, or has a layer that a RepVGG does not have.</exception>
    public static KerasConfig? Parse(string? json)
    {
        if (json is null)
            return null;
        try
        {
            using var document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = MaximumDepth });
            var layers = new List<KerasLayerConfig>();
            Collect(document.RootElement, layers);
            return layers.Count == 0 ? null : new KerasConfig(layers);
        }
        catch (JsonException error)
        {
            throw new InvalidDataException($"the configuration of its model is damaged: {MessageText.Reason(error)}", error);
        }
    }

    /// <summary>Gets a text of a JSON object; null if there is none.</summary>
    public static string? TextOf(string json, string name)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            return document.RootElement.ValueKind == JsonValueKind.Object && document.RootElement.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
        }
        catch (JsonException error)
        {
            throw new InvalidDataException($"the description of its model is damaged: {MessageText.Reason(error)}", error);
        }
    }

    /// <summary>The layers of a class, in the order of the configuration.</summary>
    public IEnumerable<KerasLayerConfig> OfClass(string name) => Layers.Where(layer => layer.Class == name);

    /// <summary>Height and width of the images; null if the configuration does not fix them.</summary>
    /// <remarks>The input is [batch, height, width, channels], or [batch, channels, height, width] if the convolutions say channels_first.</remarks>
    public (int Height, int Width)? ImageSize
    {
        get
        {
            bool channelsFirst = OfClass("Conv2D").FirstOrDefault()?.Text("data_format") == "channels_first";
            foreach (var layer in Layers)
            {
                if ((layer.Settings.TryGetProperty("batch_input_shape", out var shape) || layer.Settings.TryGetProperty("batch_shape", out shape)) && shape.ValueKind == JsonValueKind.Array && shape.GetArrayLength() == 4)
                {
                    var (height, width) = channelsFirst ? (shape[2], shape[3]) : (shape[1], shape[2]);
                    return height.ValueKind == JsonValueKind.Number && width.ValueKind == JsonValueKind.Number && height.TryGetInt32(out int rows) && width.TryGetInt32(out int columns) ? (rows, columns) : null;
                }
            }
            return null;
        }
    }

    private static void Collect(JsonElement element, List<KerasLayerConfig> layers)
    {
        if (element.ValueKind != JsonValueKind.Object || !element.TryGetProperty("config", out var config) || config.ValueKind != JsonValueKind.Object)
            return;
        string type = element.TryGetProperty("class_name", out var name) && name.ValueKind == JsonValueKind.String ? name.GetString()! : "";
        if (config.TryGetProperty("layers", out var children) && children.ValueKind == JsonValueKind.Array)
        {
            foreach (var child in children.EnumerateArray())
                Collect(child, layers);
            return;
        }
        string own = config.TryGetProperty("name", out var given) && given.ValueKind == JsonValueKind.String ? given.GetString()! : "";
        if (layers.Count == 0 && !_known.Contains(type) && own.Length == 0)
            return;
        if (type is "Functional" or "Model" or "Sequential")
            return;
        if (!_known.Contains(type))
            throw new InvalidDataException($"its layer '{MessageText.Printable(own)}' is of the class '{MessageText.Printable(type)}', which a RepVGG does not have");
        layers.Add(new KerasLayerConfig(type, own, config.Clone()));
    }
}
