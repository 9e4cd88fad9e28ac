using RepVgg.Runtime;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.Onnx;

/// <summary>The parts of an ONNX model that are needed to recognise a network.</summary>
internal sealed class OnnxModel
{
    /// <summary>Size in bytes of the file and of the files that hold values of its tensors.</summary>
    public long Bytes { get; set; }

    /// <summary>Version of the operator set of ONNX's own operations; null if the file does not say it.</summary>
    public int? OperatorSet { get; set; }

    public List<OnnxNode> Nodes { get; } = [];

    public Dictionary<string, OnnxConstant> Constants { get; } = new(StringComparer.Ordinal);

    public List<OnnxValue> Inputs { get; } = [];

    public List<OnnxValue> Outputs { get; } = [];

    public Dictionary<string, string> Properties { get; } = new(StringComparer.Ordinal);

    /// <summary>Counts the values of all floating-point constants. Constants of other types, such as quantized weights, count with the size of the file.</summary>
    public long CountWeights() => Constants.Values.Concat(Nodes.Select(node => node.Attribute("value")?.Tensor).OfType<OnnxConstant>())
        .Sum(constant => constant.Floats?.Length ?? (constant.Integers is null ? Bytes : 0));
}

/// <summary>A constant of an ONNX model: floating-point values, integers, or, for types that no RepVGG needs, no values.</summary>
/// <param name="Name">Name of the constant.</param>
/// <param name="Shape">Dimensions of the constant.</param>
/// <param name="Floats">The values of a floating-point constant of any width, converted to 32-bit floats when they are read; otherwise null.</param>
/// <param name="Integers">The values of an integer constant; otherwise null.</param>
internal sealed record OnnxConstant(string Name, int[] Shape, TensorData? Floats, long[]? Integers)
{
    /// <summary>ONNX's number of the type of the elements (TensorProto.DataType); 0 if it is not needed.</summary>
    public int ElementType { get; init; }

    /// <summary>The values of a constant of bytes, which only quantized networks need; otherwise null.</summary>
    public ByteSlice? Bytes { get; init; }
}

/// <summary>An operation (node) of an ONNX graph.</summary>
internal sealed class OnnxNode
{
    private Dictionary<string, OnnxAttribute>? _attributes;

    public string Name { get; set; } = "";

    public string Operation { get; set; } = "";

    public string Domain { get; set; } = "";

    public List<string> Inputs { get; } = new(2);

    public List<string> Outputs { get; } = new(1);

    /// <summary>The attributes. Most operations have none, so that the dictionary is created when it is first used.</summary>
    public Dictionary<string, OnnxAttribute> Attributes => _attributes ??= new Dictionary<string, OnnxAttribute>(StringComparer.Ordinal);

    /// <summary>Returns the operation type and the node's name or first output, for error messages.</summary>
    public override string ToString()
    {
        string operation = MessageText.Printable(Operation);
        return Name.Length > 0 ? $"{operation} '{MessageText.Printable(Name)}'" : Outputs.Count > 0 ? $"{operation} with output '{MessageText.Printable(Outputs[0])}'" : operation;
    }

    public OnnxAttribute? Attribute(string name) => _attributes?.GetValueOrDefault(name);

    public long Integer(string name, long otherwise) => Attribute(name) is { } attribute ? attribute.Integer ?? throw Wrong(name) : otherwise;

    public float Float(string name, float otherwise) => Attribute(name) is { } attribute ? attribute.Float ?? throw Wrong(name) : otherwise;

    public string Text(string name, string otherwise) => Attribute(name) is { } attribute ? attribute.Text ?? throw Wrong(name) : otherwise;

    public IReadOnlyList<long>? Integers(string name) => Attribute(name)?.Integers;

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
