using System.Collections.Immutable;
using RepVgg.Weights.Onnx;

namespace RepVgg.Tests.Weights.Onnx;

/// <summary>Puts ONNX files together node by node, also such as no exporter would write.</summary>
/// <param name="channels">Channels of all maps.</param>
/// <param name="side">Height and width of the images.</param>
internal sealed class CraftedGraph(int channels = 1, int side = 8)
{
    /// <summary>The attribute of a 3x3 convolution that is padded by one pixel.</summary>
    public static readonly (string Name, object Value) Padded = ("pads", new long[] { 1, 1, 1, 1 });

    private readonly ProtoMessage _graph = new();
    private readonly List<string> _outputs = [];

    public static CraftedGraph Start(int channels = 1, int side = 8) => new CraftedGraph(channels, side)
        .Floats("k", [channels, 1, 3, 3], 0.1f)
        .Floats("one", [1, channels, 1, 1], 1)
        .Conv("x", "k", "c0").Node("Relu", "r0", "c0");

    /// <summary>A depthwise convolution with a 3x3 kernel.</summary>
    public CraftedGraph Conv(string source, string kernel, string target) =>
        Node("Conv", target, new[] { source, kernel }, Padded, ("group", (long)channels));

    public CraftedGraph Node(string operation, string output, params string[] inputs) => Node(operation, output, inputs, Array.Empty<(string, object)>());

    public CraftedGraph Node(string operation, string output, string[] inputs, params (string Name, object Value)[] attributes)
    {
        var node = new ProtoMessage();
        foreach (string input in inputs)
            node.Text(OnnxSchema.Node.Input, input);
        node.Text(OnnxSchema.Node.Output, output);
        node.Text(OnnxSchema.Node.OpType, operation);
        foreach (var (name, value) in attributes)
            node.Message(OnnxSchema.Node.Attribute, Attribute(name, value));
        _graph.Message(OnnxSchema.Graph.Node, node);
        return this;
    }

    /// <summary>Operations that follow each other: the output of the last one is the name with the number of operations.</summary>
    /// <param name="count">Number of operations.</param>
    /// <param name="name">Start of the names of the values; with 0, it is the input of the first operation.</param>
    /// <param name="operation">The type of the operations.</param>
    /// <param name="inputs">Gets the inputs from the value before.</param>
    /// <param name="attributes">Attributes of all operations.</param>
    public CraftedGraph Chain(int count, string name, string operation, Func<string, string[]> inputs, params (string Name, object Value)[] attributes)
    {
        for (int i = 0; i < count; i++)
            Node(operation, $"{name}{i + 1}", inputs($"{name}{i}"), attributes);
        return this;
    }

    public CraftedGraph Floats(string name, int[] shape, float value)
    {
        var tensor = Tensor(name, shape, OnnxSchema.Tensor.Float);
        tensor.Values<float>(OnnxSchema.Tensor.RawData, [.. Enumerable.Repeat(value, shape.Aggregate(1, (count, size) => count * size))]);
        _graph.Message(OnnxSchema.Graph.Initializer, tensor);
        return this;
    }

    public CraftedGraph Integers(string name, params long[] values)
    {
        var tensor = Tensor(name, [values.Length], OnnxSchema.Tensor.Int64);
        foreach (long value in values)
            tensor.Integer(OnnxSchema.Tensor.Int64Data, value);
        _graph.Message(OnnxSchema.Graph.Initializer, tensor);
        return this;
    }

    /// <summary>A constant of any shape without values, which is valid if a dimension is 0.</summary>
    public CraftedGraph Empty(string name, params int[] shape)
    {
        var tensor = Tensor(name, shape, OnnxSchema.Tensor.Float);
        tensor.Values<float>(OnnxSchema.Tensor.RawData, []);
        _graph.Message(OnnxSchema.Graph.Initializer, tensor);
        return this;
    }

    /// <summary>A constant whose values are at the start of another file.</summary>
    public CraftedGraph External(string name, int[] shape, int type, string location)
    {
        ProtoMessage tensor = Tensor(name, shape, type), pair = new();
        pair.Text(OnnxSchema.Property.Key, "location");
        pair.Text(OnnxSchema.Property.Value, location);
        tensor.Message(OnnxSchema.Tensor.ExternalData, pair);
        tensor.Integer(OnnxSchema.Tensor.DataLocation, 1);
        _graph.Message(OnnxSchema.Graph.Initializer, tensor);
        return this;
    }

    public CraftedGraph Output(string name)
    {
        _outputs.Add(name);
        return this;
    }

    /// <summary>The file, with a classifier of two classes after a map.</summary>
    public byte[] End(string map)
    {
        Floats("head.w", [2, channels], 0.1f).Floats("head.b", [2], 0);
        Node("GlobalAveragePool", "pooled", map).Node("Flatten", "flat", "pooled").Node("Gemm", "logits", new[] { "flat", "head.w", "head.b" }, ("transB", 1L));
        _graph.Message(OnnxSchema.Graph.Input, Value("x", [null, channels, side, side]));
        foreach (string output in _outputs.Count == 0 ? ["logits"] : _outputs)
            _graph.Message(OnnxSchema.Graph.Output, Value(output, [null, 2]));
        var model = new ProtoMessage();
        model.Integer(OnnxSchema.Model.IrVersion, 8);
        model.Message(OnnxSchema.Model.Graph, _graph);
        var set = new ProtoMessage();
        set.Integer(OnnxSchema.Opset.Version, 17);
        model.Message(OnnxSchema.Model.OpsetImport, set);
        using var stream = new MemoryStream();
        model.WriteTo(stream);
        return stream.ToArray();
    }

    /// <summary>The file, in which a value is the map before the last ReLU.</summary>
    public byte[] EndBlock(string sum) => Node("Relu", "last", sum).End("last");

    private static ProtoMessage Tensor(string name, int[] shape, int type)
    {
        var tensor = new ProtoMessage();
        foreach (int size in shape)
            tensor.Integer(OnnxSchema.Tensor.Dims, size);
        tensor.Integer(OnnxSchema.Tensor.DataType, type);
        tensor.Text(OnnxSchema.Tensor.Name, name);
        return tensor;
    }

    private static ProtoMessage Attribute(string name, object value)
    {
        var attribute = new ProtoMessage();
        attribute.Text(OnnxSchema.Attribute.Name, name);
        switch (value)
        {
            case long number:
                attribute.Integer(OnnxSchema.Attribute.Integer, number);
                break;
            case long[] numbers:
                foreach (long number in numbers)
                    attribute.Integer(OnnxSchema.Attribute.Integers, number);
                break;
            default:
                throw new ArgumentException($"An attribute of type {value.GetType()}.", nameof(value));
        }
        return attribute;
    }

    private static ProtoMessage Value(string name, long?[] shape)
    {
        var dimensions = new ProtoMessage();
        foreach (long? size in shape)
        {
            var dimension = new ProtoMessage();
            if (size is { } known)
                dimension.Integer(OnnxSchema.Shape.Value, known);
            dimensions.Message(OnnxSchema.Shape.Dimension, dimension);
        }
        ProtoMessage tensor = new(), type = new(), value = new();
        tensor.Integer(OnnxSchema.Type.ElementType, OnnxSchema.Tensor.Float);
        tensor.Message(OnnxSchema.Type.Shape, dimensions);
        type.Message(OnnxSchema.Type.Tensor, tensor);
        value.Text(OnnxSchema.ValueInfo.Name, name);
        value.Message(OnnxSchema.ValueInfo.Type, type);
        return value;
    }
}
