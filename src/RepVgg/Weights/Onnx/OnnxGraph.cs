using RepVgg.Runtime;

namespace RepVgg.Weights.Onnx;

/// <summary>The operations of an ONNX model, indexed by the names of their outputs. Operations that change no value, such as Identity, are skipped.</summary>
internal sealed class OnnxGraph
{
    private readonly OnnxModel _model;
    private readonly Dictionary<string, OnnxNode> _producers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _aliases = new(StringComparer.Ordinal);
    private readonly OnnxConstants _constants;

    // The constants that ConstantOf returned, so that all operations that use a constant share its values.
    private readonly Dictionary<string, TensorData> _checked = new(StringComparer.Ordinal);

    /// <exception cref="InvalidDataException">Two operations have the same output, or an operation is not in the ONNX domain.</exception>
    public OnnxGraph(OnnxModel model)
    {
        _model = model;
        _producers.EnsureCapacity(model.Nodes.Count);
        Computed = new OnnxBudget(model.Bytes, "the constants that its operations compute");
        foreach (var node in model.Nodes)
        {
            if (node.Domain is not ("" or "ai.onnx"))
                throw new InvalidDataException($"it uses {node} of the unsupported domain '{node.Domain}'");
            foreach (string output in node.Outputs)
            {
                if (output.Length > 0 && !_producers.TryAdd(output, node))
                    throw new InvalidDataException($"two operations have the output '{output}'");
            }
            if (node is { Operation: "Constant", Outputs.Count: 1 } && ConstantValue(node) is { } constant)
                model.Constants[node.Outputs[0]] = constant;
        }
        _constants = new OnnxConstants(model.Constants, _producers, Resolve, Computed);
        foreach (var node in model.Nodes)
        {
            if (node is { Inputs.Count: >= 1, Outputs.Count: >= 1 } && ChangesNothing(node))
                _aliases[node.Outputs[0]] = node.Inputs[0];
        }
    }

    /// <summary>Limits the values that are computed from constants while the graph is read.</summary>
    public OnnxBudget Computed { get; }

    /// <summary>Limits the weights of the network.</summary>
    public OnnxBudget Weights => field ??= new OnnxBudget(_model.Bytes, "its weights, where a constant counts for each operation that uses it,");

    /// <summary>Version of the operator set; null if the file does not say it.</summary>
    public int? OperatorSet => _model.OperatorSet;

    /// <summary>The outputs of the graph, at least one.</summary>
    public IReadOnlyList<OnnxValue> Outputs => _model.Outputs.Count > 0 ? _model.Outputs : throw new InvalidDataException("it has no outputs");

    /// <summary>
    /// What must hold of the height and width of feature maps, which are known only when the whole network is: the map's name, and
    /// a function that returns the problem with a size, or null.
    /// </summary>
    public List<(string Map, Func<int, int, string?> Problem)> SizeConditions { get; } = [];

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

    /// <summary>Gets the name of a value before the skipped operations.</summary>
    public string Resolve(string name)
    {
        if (!_aliases.TryGetValue(name, out string? source))
            return name;
        for (int steps = 0; _aliases.TryGetValue(source, out string? before); source = before)
        {
            if (++steps > _aliases.Count)
                throw new InvalidDataException($"its operations form a cycle: '{MessageText.Printable(name)}' is computed from itself");
        }
        // Every value on the way becomes a direct alias, so that the next search takes one step.
        while (name != source)
        {
            string next = _aliases[name];
            _aliases[name] = source;
            name = next;
        }
        return source;
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

    /// <summary>Checks that no value is rounded to 16 bits inside a network that computes in more: the engine would not round it.</summary>
    /// <remarks>A network whose convolutions and linear layers all compute with 16 bits can have any Cast: its results differ by rounding only.</remarks>
    /// <param name="output">Name of the output that is used.</param>
    /// <exception cref="InvalidDataException">A Cast rounds values.</exception>
    public void CheckPrecision(string output)
    {
        if (!_model.Nodes.Exists(IsNarrowing))
            return;
        var used = Ancestors(output);
        var types = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (var input in _model.Inputs)
            types[input.Name] = input.ElementType;
        OnnxNode? rounds = null;
        bool isWide = false;
        foreach (var node in _model.Nodes)
        {
            if (node.Inputs.Find(name => name.Length > 0 && _constants.Find(name) is null) is not { } source)
                continue;
            long type = types.GetValueOrDefault(source, OnnxSchema.Tensor.Float);
            foreach (string name in node.Outputs)
                types[name] = node.Operation == "Cast" ? node.Integer("to", 0) : type;
            if (!used.Contains(node))
                continue;
            if (IsNarrowing(node) && node.Integer("to", 0) != type)
                rounds ??= node;
            isWide |= node.Operation is "Conv" or "Gemm" or "MatMul" && !OnnxSchema.Tensor.IsNarrow(type);
        }
        if (isWide && rounds is not null)
            throw new InvalidDataException($"{rounds} rounds values to 16 bits in a network that is not of 16 bits throughout, which is not supported");

        static bool IsNarrowing(OnnxNode node) => node is { Operation: "Cast", Inputs.Count: 1 } && OnnxSchema.Tensor.IsNarrow(node.Integer("to", 0));
    }

    /// <summary>Gets the operations that a value is computed by.</summary>
    private HashSet<OnnxNode> Ancestors(string value)
    {
        var found = new HashSet<OnnxNode>();
        var names = new Stack<string>([value]);
        while (names.TryPop(out string? name))
        {
            if (_producers.TryGetValue(name, out var node) && found.Add(node))
                node.Inputs.ForEach(names.Push);
        }
        return found;
    }

    /// <summary>Gets a floating-point constant, or null if there is none of this name.</summary>
    public TensorData? Constant(string name) => _constants.Find(name)?.Floats;

    /// <summary>Gets the values of an integer constant, such as axes or a shape; null if there is none of this name, or it is longer than any such list.</summary>
    public long[]? Integers(string name) => _constants.Find(name)?.Integers is { Length: <= OnnxConstants.MaximumList } values ? values : null;

    /// <summary>Gets an input of an operation that must be a floating-point constant of finite values. The values are checked when they are read.</summary>
    /// <exception cref="InvalidDataException">The input is missing or is not a floating-point constant, or a value in memory is not finite.</exception>
    public TensorData ConstantOf(OnnxNode node, int index)
    {
        string name = InputOf(node, index);
        if (_checked.TryGetValue(name, out var known))
            return known;
        return _constants.Find(name) is { Floats: { } values } constant
            ? _checked[name] = values.Finite(constant.Name)
            : throw new InvalidDataException($"input {index} of {node} is not a floating-point constant");
    }

    /// <summary>Gets an input of an operation as <see cref="ConstantOf"/> does, with its values in memory.</summary>
    /// <exception cref="InvalidDataException">As for <see cref="ConstantOf"/>, or the constants have too many values.</exception>
    public TensorData LoadedConstantOf(OnnxNode node, int index)
    {
        var constant = ConstantOf(node, index);
        if (!constant.IsInMemory)
        {
            Computed.Take(constant.Length, node);
            _ = constant.Values;
        }
        return constant;
    }

    /// <summary>Whether an input of an operation is a floating-point constant of a single value, and which.</summary>
    public float? SingleValue(string name) => Constant(name) is { Length: 1 } constant ? constant.Read()[0] : null;

    /// <summary>Gets a list of integers that is an attribute in older operator sets and an input in newer ones; null if it is missing or not constant.</summary>
    public IReadOnlyList<long>? IntegersOf(OnnxNode node, string attribute, int input) =>
        node.Integers(attribute) ?? (HasInput(node, input) ? Integers(node.Inputs[input]) : null);

    /// <summary>Whether an operation is a ReLU, which can be written as a Clip without an upper bound.</summary>
    public bool IsRelu(OnnxNode? node)
    {
        if (node?.Operation != "Clip")
            return node?.Operation == "Relu";
        float? low = Bound("min", 1), high = Bound("max", 2);
        return low == 0 && high is null or >= float.MaxValue;

        float? Bound(string attribute, int input) => node.Attribute(attribute) is not null ? node.Float(attribute, 0)
            : !HasInput(node, input) ? null
            : SingleValue(node.Inputs[input]) ?? float.NaN;
    }

    /// <summary>Gets one value for each of <paramref name="channels"/> channels from a constant that is broadcast to [N, C, H, W].</summary>
    public float[] PerChannel(OnnxNode node, TensorData constant, int channels)
    {
        if (constant.Length == 1)
        {
            Computed.Take(channels, node);
            var repeated = new float[channels];
            Array.Fill(repeated, constant.Read()[0]);
            return repeated;
        }
        int rank = constant.Shape.Count;
        bool onChannels = rank >= 3 && constant.Shape[rank - 3] == channels;
        return constant.Length == channels && onChannels ? constant.Values : throw new InvalidDataException($"the constant of {node} has shape [{string.Join(", ", constant.Shape)}], not one value per channel");
    }

    /// <summary>Gets the feature map of which a pooled value is the mean over height and width.</summary>
    /// <param name="value">Name of the pooled value.</param>
    /// <param name="allowWindow">Whether the mean may be an AveragePool, whose window must be the whole map (see <see cref="SizeConditions"/>).</param>
    /// <exception cref="InvalidDataException">The value is not a mean over height and width.</exception>
    public string SourceOfMean(string value, bool allowWindow = false)
    {
        var node = Producer(value);
        if (node?.Operation == "GlobalAveragePool")
            return InputOf(node);
        if (node?.Operation == "ReduceMean" && SourceOfReduceMean(node) is { } reduced)
            return reduced;
        if (allowWindow && node?.Operation == "AveragePool" && node.Integers("kernel_shape") is [var height, var width] && (node.Integers("pads") ?? []).All(pad => pad == 0))
        {
            string map = InputOf(node);
            SizeConditions.Add((map, (mapHeight, mapWidth) => (mapHeight, mapWidth) == (height, width) ? null : $"{node} is not the mean of its whole map: it has a window of {height} x {width} in a map of {mapHeight} x {mapWidth}"));
            return map;
        }
        throw new InvalidDataException($"'{value}' must be a mean over height and width, but it is the output of {node?.ToString() ?? "no operation"}");
    }

    /// <summary>Gets the kernel of a convolution.</summary>
    /// <exception cref="InvalidDataException">The kernel is not a constant, or has another size than the convolution.</exception>
    public TensorData KernelOf(OnnxNode node)
    {
        var kernel = ConstantOf(node, 1);
        return node.Integers("kernel_shape") is not { Count: > 0 } size || kernel.Shape.Count != 4 || (size.Count == 2 && size[0] == kernel.Shape[2] && size[1] == kernel.Shape[3]) ? kernel
            : throw new InvalidDataException($"the kernel_shape of {node} is [{string.Join(", ", size)}], but its kernel has shape [{string.Join(", ", kernel.Shape)}]");
    }

    /// <summary>Gets the map whose height and width a ReduceMean reduces, at once or together with another one before it; null if it reduces others.</summary>
    private string? SourceOfReduceMean(OnnxNode node)
    {
        var axes = IntegersOf(node, "axes", 1);
        if (axes is { Count: 2 })
        {
            string map = InputOf(node);
            long[] order = [0, 1, 2, 3];
            // A map whose channels are the last dimension has the same mean.
            if (node.Integer("keepdims", 1) == 0 && Producer(map) is { Operation: "Transpose" } transpose && transpose.Integers("perm") is [0, 2, 3, 1])
            {
                order = [0, 2, 3, 1];
                map = InputOf(transpose);
            }
            return axes.Select(axis => axis is >= -4 and < 4 ? order[axis < 0 ? axis + 4 : axis] : -1).Order().SequenceEqual([2L, 3]) ? map : null;
        }
        if (axes is not [var second] || Producer(InputOf(node)) is not { Operation: "ReduceMean" } before || IntegersOf(before, "axes", 1) is not [var first])
            return null;
        first = first < 0 ? first + 4 : first;
        bool keeps = before.Integer("keepdims", 1) != 0;
        second = second < 0 ? second + (keeps ? 4 : 3) : second;
        return first is 2 or 3 && second == (keeps ? 5 - first : 2) ? InputOf(before) : null;
    }

    /// <summary>Whether the first output of an operation is its first input.</summary>
    private bool ChangesNothing(OnnxNode node) => node.Operation switch
    {
        "Identity" => true,
        // Whether a Cast of a map rounds its values is checked separately; constants are converted.
        "Cast" => OnnxSchema.Tensor.IsFloat(node.Integer("to", 0)) && _constants.Find(node.Inputs[0]) is null,
        "Dropout" => !HasInput(node, 2) || _constants.Find(node.Inputs[2]) is { Integers: [0] },
        "Pad" => IntegersOf(node, "pads", 1) is { } pads && pads.All(pad => pad == 0),
        _ => false,
    };

    /// <summary>Gets the value of a Constant operation; null for a type that no RepVGG needs.</summary>
    private static OnnxConstant? ConstantValue(OnnxNode node)
    {
        string name = node.Outputs[0];
        foreach (var (key, value) in node.Attributes)
        {
            switch (key)
            {
                case "value": return value.Tensor;
                case "value_float" when value.Float is { } number: return new OnnxConstant(name, [], new TensorData([], [number]), null);
                case "value_int" when value.Integer is { } number: return new OnnxConstant(name, [], null, [number]);
                case "value_floats" when value.Floats is { } numbers: return new OnnxConstant(name, [numbers.Count], new TensorData([.. numbers]), null);
                case "value_ints": return new OnnxConstant(name, [value.Integers.Count], null, [.. value.Integers]);
            }
        }
        return null;
    }
}
