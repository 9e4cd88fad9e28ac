namespace RepVgg.Weights.Onnx;

/// <summary>The operations of an ONNX model, indexed by the names of their outputs. Identity, Cast and Dropout are skipped.</summary>
internal sealed class OnnxGraph
{
    private readonly OnnxModel _model;
    private readonly Dictionary<string, OnnxNode> _producers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _aliases = new(StringComparer.Ordinal);

    /// <exception cref="InvalidDataException">Two operations have the same output, or an operation is not in the ONNX domain.</exception>
    public OnnxGraph(OnnxModel model)
    {
        _model = model;
        foreach (var node in model.Nodes)
        {
            if (node.Domain is not ("" or "ai.onnx"))
                throw new InvalidDataException($"it uses {node} of the unsupported domain '{node.Domain}'");
            foreach (string output in node.Outputs)
            {
                if (output.Length > 0 && !_producers.TryAdd(output, node))
                    throw new InvalidDataException($"two operations have the output '{output}'");
            }
            if (node is { Inputs.Count: >= 1, Outputs.Count: >= 1 } && node.Operation is "Identity" or "Cast" or "Dropout")
                _aliases[node.Outputs[0]] = node.Inputs[0];
            else if (node is { Operation: "Constant", Outputs.Count: 1 } && node.Attributes.TryGetValue("value", out var value) && value.Tensor is { } tensor)
                model.Constants[node.Outputs[0]] = tensor;
        }
    }

    /// <summary>The only input of the graph that is not a constant.</summary>
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

    /// <summary>The only output of the graph.</summary>
    public OnnxValue Output => _model.Outputs.Count == 1 ? _model.Outputs[0] : throw new InvalidDataException($"it has {_model.Outputs.Count} outputs, not one");

    /// <summary>Gets the name of a value before the skipped operations.</summary>
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

    /// <summary>Gets the operation whose output is a value; null for inputs and constants.</summary>
    public OnnxNode? Producer(string name) => _producers.GetValueOrDefault(Resolve(name));

    /// <summary>Gets the operation whose output is a value, and checks its type.</summary>
    /// <exception cref="InvalidDataException">There is no such operation, or it is not of the expected type.</exception>
    public OnnxNode Producer(string name, string expected)
    {
        var node = Producer(name);
        if (node?.Operation != expected)
            throw new InvalidDataException($"'{name}' must be the output of {expected}, but it is the output of {(node is null ? "no operation" : $"{node}")}");
        return node;
    }

    /// <summary>Gets the name of an operation's input, before the skipped operations.</summary>
    public string InputOf(OnnxNode node, int index = 0) =>
        index < node.Inputs.Count && node.Inputs[index].Length > 0 ? Resolve(node.Inputs[index]) : throw new InvalidDataException($"{node} has no input {index}");

    public bool HasInput(OnnxNode node, int index) => index < node.Inputs.Count && node.Inputs[index].Length > 0;

    /// <summary>Gets a floating-point constant, or null if there is none of this name.</summary>
    public TensorData? Constant(string name) => _model.Constants.TryGetValue(Resolve(name), out var constant) ? constant.Floats : null;

    /// <summary>Gets the values of an integer constant, or null if there is none of this name.</summary>
    public long[]? Integers(string name) => _model.Constants.TryGetValue(Resolve(name), out var constant) ? constant.Integers : null;

    /// <summary>Gets an input of an operation that must be a floating-point constant.</summary>
    /// <exception cref="InvalidDataException">The input is missing or is not a floating-point constant.</exception>
    public TensorData ConstantOf(OnnxNode node, int index) =>
        Constant(InputOf(node, index)) ?? throw new InvalidDataException($"input {index} of {node} is not a floating-point constant");

    /// <summary>Gets one value for each of <paramref name="channels"/> channels from a constant that is broadcast to [N, C, H, W].</summary>
    public float[] PerChannel(OnnxNode node, TensorData constant, int channels)
    {
        float[] values = constant.Values;
        if (values.Length == 1)
        {
            var repeated = new float[channels];
            Array.Fill(repeated, values[0]);
            return repeated;
        }
        int rank = constant.Shape.Count;
        bool onChannels = rank >= 3 && constant.Shape[rank - 3] == channels;
        return values.Length == channels && onChannels ? values : throw new InvalidDataException($"the constant of {node} has shape [{string.Join(", ", constant.Shape)}], not one value per channel");
    }

    /// <summary>Gets the feature map of which a pooled value is the mean over height and width.</summary>
    /// <exception cref="InvalidDataException">The value is not a mean over height and width.</exception>
    public string SourceOfMean(string value)
    {
        var node = Producer(value);
        if (node?.Operation == "GlobalAveragePool")
            return InputOf(node);
        if (node?.Operation == "ReduceMean")
        {
            var axes = node.Integers("axes") ?? (HasInput(node, 1) ? Integers(node.Inputs[1]) : null);
            if (axes is [2, 3] or [-2, -1] or [-1, -2] or [3, 2])
                return InputOf(node);
        }
        throw new InvalidDataException($"'{value}' must be a mean over height and width, but it is the output of {node?.ToString() ?? "no operation"}");
    }
}
