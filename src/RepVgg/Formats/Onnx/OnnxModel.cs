namespace RepVgg.Formats.Onnx;

/// <summary>What of an ONNX file matters for recognising a network.</summary>
internal sealed class OnnxModel
{
    public List<OnnxNode> Nodes { get; } = [];

    public Dictionary<string, OnnxTensor> Constants { get; } = new(StringComparer.Ordinal);

    public List<OnnxValue> Inputs { get; } = [];

    public List<OnnxValue> Outputs { get; } = [];

    public Dictionary<string, string> Properties { get; } = new(StringComparer.Ordinal);
}

/// <summary>An operation.</summary>
internal sealed class OnnxNode
{
    public string Name { get; set; } = "";

    public string Operation { get; set; } = "";

    public string Domain { get; set; } = "";

    public List<string> Inputs { get; } = [];

    public List<string> Outputs { get; } = [];

    public Dictionary<string, OnnxAttribute> Attributes { get; } = new(StringComparer.Ordinal);

    /// <summary>For messages: what it is and where.</summary>
    public override string ToString() => Name.Length > 0 ? $"{Operation} '{Name}'" : Outputs.Count > 0 ? $"{Operation} that gives '{Outputs[0]}'" : Operation;

    public long Integer(string name, long otherwise) => Attributes.TryGetValue(name, out var attribute) ? attribute.Integer ?? throw Wrong(name) : otherwise;

    public float Float(string name, float otherwise) => Attributes.TryGetValue(name, out var attribute) ? attribute.Float ?? throw Wrong(name) : otherwise;

    public IReadOnlyList<long>? Integers(string name) => Attributes.TryGetValue(name, out var attribute) ? attribute.Integers : null;

    private InvalidDataException Wrong(string name) => new($"the attribute '{name}' of {this} is of the wrong type");
}

/// <summary>An operation's attribute; only the part of its type is set.</summary>
internal sealed class OnnxAttribute
{
    public string Name { get; set; } = "";

    public float? Float { get; set; }

    public long? Integer { get; set; }

    public List<long> Integers { get; } = [];

    public OnnxTensor? Tensor { get; set; }
}

/// <summary>An input or output.</summary>
/// <param name="Name">Its name.</param>
/// <param name="ElementType">ONNX's number of the type of its elements.</param>
/// <param name="Shape">Its dimensions; null where one is dynamic.</param>
internal sealed record OnnxValue(string Name, int ElementType, IReadOnlyList<long?> Shape);
