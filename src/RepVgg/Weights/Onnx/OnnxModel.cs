namespace RepVgg.Weights.Onnx;

/// <summary>The parts of an ONNX model that are needed to recognise a network.</summary>
internal sealed class OnnxModel
{
    /// <summary>Version of the operator set of ONNX's own operations; null if the file does not say it.</summary>
    public int? OperatorSet { get; set; }

    public List<OnnxNode> Nodes { get; } = [];

    public Dictionary<string, OnnxConstant> Constants { get; } = new(StringComparer.Ordinal);

    public List<OnnxValue> Inputs { get; } = [];

    public List<OnnxValue> Outputs { get; } = [];

    public Dictionary<string, string> Properties { get; } = new(StringComparer.Ordinal);
}

/// <summary>A constant of an ONNX model: floating-point values, integers, or, for types that no RepVGG needs, no values.</summary>
/// <param name="Name">Name of the constant.</param>
/// <param name="Shape">Dimensions of the constant.</param>
/// <param name="Floats">The values of a floating-point constant of any width, converted to 32-bit floats when they are read; otherwise null.</param>
/// <param name="Integers">The values of an integer constant; otherwise null.</param>
internal sealed record OnnxConstant(string Name, int[] Shape, TensorData? Floats, long[]? Integers);

/// <summary>An operation (node) of an ONNX graph.</summary>
internal sealed class OnnxNode
{
    public string Name { get; set; } = "";

    public string Operation { get; set; } = "";

    public string Domain { get; set; } = "";

    public List<string> Inputs { get; } = [];

    public List<string> Outputs { get; } = [];

    public Dictionary<string, OnnxAttribute> Attributes { get; } = new(StringComparer.Ordinal);

    /// <summary>Returns the operation type and the node's name or first output, for error messages.</summary>
    public override string ToString() => Name.Length > 0 ? $"{Operation} '{Name}'" : Outputs.Count > 0 ? $"{Operation} with output '{Outputs[0]}'" : Operation;

    public long Integer(string name, long otherwise) => Attributes.TryGetValue(name, out var attribute) ? attribute.Integer ?? throw Wrong(name) : otherwise;

    public float Float(string name, float otherwise) => Attributes.TryGetValue(name, out var attribute) ? attribute.Float ?? throw Wrong(name) : otherwise;

    public string Text(string name, string otherwise) => Attributes.TryGetValue(name, out var attribute) ? attribute.Text ?? throw Wrong(name) : otherwise;

    public IReadOnlyList<long>? Integers(string name) => Attributes.TryGetValue(name, out var attribute) ? attribute.Integers : null;

    private InvalidDataException Wrong(string name) => new($"the attribute '{name}' of {this} is of the wrong type");
}

/// <summary>An attribute of an operation. Only the property that corresponds to its type is set.</summary>
internal sealed class OnnxAttribute
{
    public string Name { get; set; } = "";

    public float? Float { get; set; }

    public long? Integer { get; set; }

    public string? Text { get; set; }

    public List<float>? Floats { get; set; }

    public List<long> Integers { get; } = [];

    public OnnxConstant? Tensor { get; set; }
}

/// <summary>An input or output of the graph.</summary>
/// <param name="Name">Name of the value.</param>
/// <param name="ElementType">ONNX's number of the element type (TensorProto.DataType).</param>
/// <param name="Shape">The dimensions; null for a dynamic dimension.</param>
internal sealed record OnnxValue(string Name, int ElementType, IReadOnlyList<long?> Shape);
