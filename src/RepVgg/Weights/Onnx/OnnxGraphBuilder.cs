using System.Collections.Immutable;

namespace RepVgg.Weights.Onnx;

/// <summary>Builds the protocol-buffer message of an ONNX graph, node by node.</summary>
internal sealed class OnnxGraphBuilder
{
    private readonly ProtoMessage _graph = new();
    private readonly HashSet<string> _names = new(StringComparer.Ordinal);

    /// <summary>The graph message.</summary>
    public ProtoMessage Message => _graph;

    /// <summary>Registers the name of a value.</summary>
    /// <exception cref="ArgumentException">Another value has this name.</exception>
    public string DefineName(string name) =>
        _names.Add(name) ? name : throw new ArgumentException($"Two values of the ONNX graph are named '{name}': choose other input and output names.");

    /// <summary>Adds an operation with one output.</summary>
    /// <returns>The name of the output, which is also the name of the node.</returns>
    public string Node(string operation, string output, string[] inputs, params (string Name, object Value)[] attributes)
    {
        var node = new ProtoMessage();
        foreach (string input in inputs)
            node.Text(OnnxSchema.Node.Input, input);
        node.Text(OnnxSchema.Node.Output, DefineName(output));
        node.Text(OnnxSchema.Node.Name, output);
        node.Text(OnnxSchema.Node.OpType, operation);
        foreach (var (name, value) in attributes)
            node.Message(OnnxSchema.Node.Attribute, Attribute(name, value));
        _graph.Message(OnnxSchema.Graph.Node, node);
        return output;
    }

    /// <summary>Adds a floating-point constant.</summary>
    /// <returns>The name of the constant.</returns>
    public string Constant(string name, ReadOnlySpan<int> shape, ImmutableArray<float> values, OnnxPrecision precision)
    {
        var tensor = new ProtoMessage();
        foreach (int dimension in shape)
            tensor.Integer(OnnxSchema.Tensor.Dims, dimension);
        tensor.Integer(OnnxSchema.Tensor.DataType, precision == OnnxPrecision.Half ? OnnxSchema.Tensor.Float16 : OnnxSchema.Tensor.Float);
        tensor.Text(OnnxSchema.Tensor.Name, DefineName(name));
        if (precision == OnnxPrecision.Half)
        {
            foreach (float value in values)
            {
                if (Half.IsInfinity((Half)value))
                    throw new ArgumentException(FormattableString.Invariant($"'{name}' holds {value}, which is out of the range of 16-bit floats; write the file with 32-bit floats."));
            }
            tensor.Halves(OnnxSchema.Tensor.RawData, values);
        }
        else
        {
            tensor.Values(OnnxSchema.Tensor.RawData, values);
        }
        _graph.Message(OnnxSchema.Graph.Initializer, tensor);
        return name;
    }

    /// <summary>Adds a constant of integers of 8 or 32 bits.</summary>
    /// <param name="name">Name of the constant.</param>
    /// <param name="shape">Dimensions; empty for a scalar.</param>
    /// <param name="values">The values.</param>
    /// <returns>The name of the constant.</returns>
    public string Constant<T>(string name, ReadOnlySpan<int> shape, ImmutableArray<T> values)
        where T : unmanaged
    {
        var tensor = new ProtoMessage();
        foreach (int dimension in shape)
            tensor.Integer(OnnxSchema.Tensor.Dims, dimension);
        tensor.Integer(OnnxSchema.Tensor.DataType, values switch
        {
            ImmutableArray<sbyte> => OnnxSchema.Tensor.Int8,
            ImmutableArray<byte> => OnnxSchema.Tensor.UInt8,
            _ => OnnxSchema.Tensor.Int32,
        });
        tensor.Text(OnnxSchema.Tensor.Name, DefineName(name));
        tensor.Values(OnnxSchema.Tensor.RawData, values);
        _graph.Message(OnnxSchema.Graph.Initializer, tensor);
        return name;
    }

    /// <summary>Adds a constant vector of 64-bit integers, such as a shape.</summary>
    /// <returns>The name of the constant.</returns>
    public string Integers(string name, ReadOnlySpan<int> values)
    {
        var tensor = new ProtoMessage();
        tensor.Integer(OnnxSchema.Tensor.Dims, values.Length);
        tensor.Integer(OnnxSchema.Tensor.DataType, OnnxSchema.Tensor.Int64);
        tensor.Text(OnnxSchema.Tensor.Name, DefineName(name));
        foreach (int value in values)
            tensor.Integer(OnnxSchema.Tensor.Int64Data, value);
        _graph.Message(OnnxSchema.Graph.Initializer, tensor);
        return name;
    }

    /// <summary>Declares an input or output of 32-bit floats.</summary>
    /// <param name="field">Field number of the graph's inputs or outputs.</param>
    /// <param name="name">Name of the value.</param>
    /// <param name="shape">Dimensions of the value; null is a dynamic batch dimension.</param>
    public void Declare(int field, string name, params int?[] shape) => Declare(field, name, OnnxSchema.Tensor.Float, shape);

    /// <summary>Declares an input or output of any type.</summary>
    /// <param name="field">Field number of the graph's inputs or outputs.</param>
    /// <param name="name">Name of the value.</param>
    /// <param name="elementType">ONNX's number of the type.</param>
    /// <param name="shape">Dimensions of the value; null is a dynamic batch dimension.</param>
    public void Declare(int field, string name, int elementType, int?[] shape)
    {
        var dimensions = new ProtoMessage();
        foreach (int? size in shape)
        {
            var dimension = new ProtoMessage();
            if (size is { } fixedSize)
                dimension.Integer(OnnxSchema.Shape.Value, fixedSize);
            else
                dimension.Text(OnnxSchema.Shape.Parameter, "batch");
            dimensions.Message(OnnxSchema.Shape.Dimension, dimension);
        }
        var tensor = new ProtoMessage();
        tensor.Integer(OnnxSchema.Type.ElementType, elementType);
        tensor.Message(OnnxSchema.Type.Shape, dimensions);
        var type = new ProtoMessage();
        type.Message(OnnxSchema.Type.Tensor, tensor);
        var value = new ProtoMessage();
        value.Text(OnnxSchema.ValueInfo.Name, name);
        value.Message(OnnxSchema.ValueInfo.Type, type);
        _graph.Message(field, value);
    }

    private static ProtoMessage Attribute(string name, object value)
    {
        var attribute = new ProtoMessage();
        attribute.Text(OnnxSchema.Attribute.Name, name);
        switch (value)
        {
            case int number:
                attribute.Integer(OnnxSchema.Attribute.Integer, number);
                attribute.Integer(OnnxSchema.Attribute.Type, OnnxSchema.Attribute.TypeInteger);
                break;
            case int[] numbers:
                foreach (int number in numbers)
                    attribute.Integer(OnnxSchema.Attribute.Integers, number);
                attribute.Integer(OnnxSchema.Attribute.Type, OnnxSchema.Attribute.TypeIntegers);
                break;
            case string text:
                attribute.Text(OnnxSchema.Attribute.Text, text);
                attribute.Integer(OnnxSchema.Attribute.Type, OnnxSchema.Attribute.TypeText);
                break;
            default:
                throw new ArgumentException($"An attribute cannot be a {value.GetType().Name}.", nameof(value));
        }
        return attribute;
    }
}
