namespace RepVgg.Formats.Onnx;

/// <summary>The operations of a model by what they give, with operations that change nothing taken out.</summary>
internal sealed class OnnxGraph
{
    private readonly OnnxModel _model;
    private readonly Dictionary<string, OnnxNode> _producers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _aliases = new(StringComparer.Ordinal);

    /// <exception cref="InvalidDataException">Two operations give the same value.</exception>
    public OnnxGraph(OnnxModel model)
    {
        _model = model;
        foreach (var node in model.Nodes)
        {
            if (node.Domain is not ("" or "ai.onnx"))
                throw new InvalidDataException($"it uses {node} of the foreign domain '{node.Domain}'");
            foreach (string output in node.Outputs)
            {
                if (output.Length > 0 && !_producers.TryAdd(output, node))
                    throw new InvalidDataException($"two operations give '{output}'");
            }
            if (node is { Inputs.Count: >= 1, Outputs.Count: >= 1 } && node.Operation is "Identity" or "Cast" or "Dropout")
                _aliases[node.Outputs[0]] = node.Inputs[0];
            else if (node is { Operation: "Constant", Outputs.Count: 1 } && node.Attributes.TryGetValue("value", out var value) && value.Tensor is { } tensor)
                model.Constants[node.Outputs[0]] = tensor;
        }
    }

    /// <summary>The one input that is no constant.</summary>
    public OnnxValue Input
    {
        get
        {
            OnnxValue? only = null;
            int count = 0;
            foreach (var input in _model.Inputs)
            {
                if (_model.Constants.ContainsKey(input.Name))
                    continue;
                only = input;
                count++;
            }
            return count == 1 ? only! : throw new InvalidDataException($"it has {count} inputs, not one");
        }
    }

    /// <summary>The one output.</summary>
    public OnnxValue Output => _model.Outputs.Count == 1 ? _model.Outputs[0] : throw new InvalidDataException($"it has {_model.Outputs.Count} outputs, not one");

    /// <summary>The name under which a value first appears.</summary>
    public string Resolve(string name)
    {
        for (int i = 0; _aliases.TryGetValue(name, out string? source); i++)
        {
            name = source;
            if (i > _aliases.Count)
                throw new InvalidDataException("its operations form a cycle");
        }
        return name;
    }

    /// <summary>The operation that gives a value; null for inputs and constants.</summary>
    public OnnxNode? Producer(string name) => _producers.GetValueOrDefault(Resolve(name));

    /// <summary>The operation that gives a value.</summary>
    /// <exception cref="InvalidDataException">There is none, or it is another one than expected.</exception>
    public OnnxNode Producer(string name, string expected)
    {
        var node = Producer(name);
        if (node?.Operation != expected)
            throw new InvalidDataException($"{expected} was expected to give '{name}', but {(node is null ? "nothing gives it" : $"{node} does")}");
        return node;
    }

    /// <summary>The input of an operation, resolved.</summary>
    public string InputOf(OnnxNode node, int index = 0) =>
        index < node.Inputs.Count && node.Inputs[index].Length > 0 ? Resolve(node.Inputs[index]) : throw new InvalidDataException($"{node} lacks its input {index}");

    public bool HasInput(OnnxNode node, int index) => index < node.Inputs.Count && node.Inputs[index].Length > 0;

    /// <summary>A constant of floats, or null.</summary>
    public OnnxTensor? Constant(string name) => _model.Constants.TryGetValue(Resolve(name), out var tensor) && tensor.IsFloat ? tensor : null;

    /// <summary>A constant of integers, or null.</summary>
    public long[]? Integers(string name) => _model.Constants.TryGetValue(Resolve(name), out var tensor) ? tensor.Integers : null;

    /// <summary>A constant of floats that an operation needs.</summary>
    /// <exception cref="InvalidDataException">It is no constant.</exception>
    public OnnxTensor ConstantOf(OnnxNode node, int index) =>
        Constant(InputOf(node, index)) ?? throw new InvalidDataException($"input {index} of {node} is no constant of floats");

    /// <summary>One value for each of <paramref name="channels"/> channels, from a constant that broadcasts to [N, C, H, W].</summary>
    public float[] PerChannel(OnnxNode node, OnnxTensor constant, int channels)
    {
        float[] values = constant.Floats!;
        if (values.Length == 1)
        {
            var repeated = new float[channels];
            Array.Fill(repeated, values[0]);
            return repeated;
        }
        int rank = constant.Shape.Length;
        bool onChannels = rank >= 3 && constant.Shape[rank - 3] == channels;
        return values.Length == channels && onChannels ? values : throw new InvalidDataException($"the constant of {node} has shape [{string.Join(", ", constant.Shape)}], not one value per channel");
    }
}
