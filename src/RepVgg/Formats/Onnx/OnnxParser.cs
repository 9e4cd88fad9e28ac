using System.Runtime.InteropServices;

namespace RepVgg.Formats.Onnx;

/// <summary>Parses an ONNX file into an <see cref="OnnxModel"/>.</summary>
internal sealed class OnnxParser
{
    private const int MaximumNodes = 100_000;
    private const int MaximumIntegers = 1 << 16;
    private const int MaximumParts = 1000;
    private const int MaximumRank = 8;

    private readonly ProtoReader _reader;
    private readonly OnnxModel _model = new();
    private bool _hasGraph;

    private OnnxParser(Stream stream) => _reader = new ProtoReader(stream);

    /// <summary>Parses a model.</summary>
    /// <param name="stream">Seekable.</param>
    /// <exception cref="InvalidDataException">It is no ONNX model; the message is the reason alone.</exception>
    public static OnnxModel Parse(Stream stream)
    {
        var parser = new OnnxParser(stream);
        parser._reader.Fields(parser.ModelField);
        if (!parser._hasGraph)
            throw new InvalidDataException("it holds no graph");
        return parser._model;
    }

    private void ModelField(int field)
    {
        switch (field)
        {
            case OnnxSchema.Model.Graph:
                if (_hasGraph)
                    throw new InvalidDataException("it holds two graphs");
                _hasGraph = true;
                _reader.Message(GraphField);
                break;
            case OnnxSchema.Model.Metadata: Property(); break;
            default: _reader.Skip(); break;
        }
    }

    private void Property()
    {
        string key = "", value = "";
        _reader.Message(field =>
        {
            switch (field)
            {
                case OnnxSchema.Property.Key: key = _reader.Text(); break;
                case OnnxSchema.Property.Value: value = _reader.Text(); break;
                default: _reader.Skip(); break;
            }
        });
        _model.Properties[key] = value;
        if (_model.Properties.Count > MaximumParts)
            throw new InvalidDataException($"it has more than {MaximumParts} properties");
    }

    private void GraphField(int field)
    {
        switch (field)
        {
            case OnnxSchema.Graph.Node: AddNode(); break;
            case OnnxSchema.Graph.Initializer:
                var tensor = Tensor();
                if (!_model.Constants.TryAdd(tensor.Name, tensor))
                    throw new InvalidDataException($"two constants are named '{tensor.Name}'");
                break;
            case OnnxSchema.Graph.Input: _model.Inputs.Add(Value()); break;
            case OnnxSchema.Graph.Output: _model.Outputs.Add(Value()); break;
            default: _reader.Skip(); break;
        }
        if (_model.Inputs.Count + _model.Outputs.Count + _model.Constants.Count > MaximumNodes)
            throw new InvalidDataException($"it has more than {MaximumNodes} values");
    }

    private void AddNode()
    {
        if (_model.Nodes.Count >= MaximumNodes)
            throw new InvalidDataException($"it has more than {MaximumNodes} operations");
        var node = new OnnxNode();
        _reader.Message(field =>
        {
            switch (field)
            {
                case OnnxSchema.Node.Input: node.Inputs.Add(_reader.Text()); break;
                case OnnxSchema.Node.Output: node.Outputs.Add(_reader.Text()); break;
                case OnnxSchema.Node.Name: node.Name = _reader.Text(); break;
                case OnnxSchema.Node.OpType: node.Operation = _reader.Text(); break;
                case OnnxSchema.Node.Domain: node.Domain = _reader.Text(); break;
                case OnnxSchema.Node.Attribute:
                    var attribute = Attribute();
                    node.Attributes[attribute.Name] = attribute;
                    break;
                default: _reader.Skip(); break;
            }
            if (node.Inputs.Count + node.Outputs.Count + node.Attributes.Count > MaximumParts)
                throw new InvalidDataException($"an operation has more than {MaximumParts} inputs, outputs and attributes");
        });
        _model.Nodes.Add(node);
    }

    private OnnxAttribute Attribute()
    {
        var attribute = new OnnxAttribute();
        _reader.Message(field =>
        {
            switch (field)
            {
                case OnnxSchema.Attribute.Name: attribute.Name = _reader.Text(); break;
                case OnnxSchema.Attribute.Float: attribute.Float = _reader.Single(); break;
                case OnnxSchema.Attribute.Integer: attribute.Integer = _reader.Integer(); break;
                case OnnxSchema.Attribute.Integers: _reader.Integers(attribute.Integers, MaximumIntegers); break;
                case OnnxSchema.Attribute.Tensor: attribute.Tensor = Tensor(); break;
                default: _reader.Skip(); break;
            }
        });
        return attribute;
    }

    private OnnxTensor Tensor()
    {
        var tensor = new OnnxTensor();
        var dimensions = new List<long>();
        var integers = new List<long>();
        var floats = new List<byte[]>();
        byte[]? raw = null;
        int type = 0;
        bool external = false;
        _reader.Message(field =>
        {
            switch (field)
            {
                case OnnxSchema.Tensor.Dims: _reader.Integers(dimensions, MaximumRank); break;
                case OnnxSchema.Tensor.DataType: type = (int)_reader.Integer(); break;
                case OnnxSchema.Tensor.Name: tensor.Name = _reader.Text(); break;
                case OnnxSchema.Tensor.RawData: raw = _reader.Bytes(); break;
                case OnnxSchema.Tensor.FloatData or OnnxSchema.Tensor.DoubleData when _reader.WireType == 2: floats.Add(_reader.Bytes()); break;
                case OnnxSchema.Tensor.Int64Data or OnnxSchema.Tensor.Int32Data: _reader.Integers(integers, MaximumIntegers); break;
                case OnnxSchema.Tensor.DataLocation: external = _reader.Integer() != 0; break;
                default: _reader.Skip(); break;
            }
        });
        if (external)
            throw new InvalidDataException($"the values of '{tensor.Name}' lie in another file, which is not supported: save the model as one file");
        tensor.Shape = [.. dimensions.Select(dimension => dimension is >= 0 and <= int.MaxValue ? (int)dimension : throw new InvalidDataException($"'{tensor.Name}' has a dimension {dimension}"))];
        Decode(tensor, type, raw ?? (floats.Count == 1 ? floats[0] : null), integers);
        return tensor;
    }

    /// <summary>Makes values of what was found; a tensor of another type stays without.</summary>
    private static void Decode(OnnxTensor tensor, int type, byte[]? raw, List<long> integers)
    {
        switch (type)
        {
            case OnnxSchema.Tensor.Float: tensor.Floats = Values<float, float>(raw, value => value); break;
            case OnnxSchema.Tensor.Double: tensor.Floats = Values<double, float>(raw, value => (float)value); break;
            case OnnxSchema.Tensor.Float16 when raw is null: tensor.Floats = [.. integers.Select(bits => (float)BitConverter.UInt16BitsToHalf((ushort)bits))]; break;
            case OnnxSchema.Tensor.Float16: tensor.Floats = Values<Half, float>(raw, value => (float)value); break;
            case OnnxSchema.Tensor.Int64 when raw is not null: tensor.Integers = Values<long, long>(raw, value => value); break;
            case OnnxSchema.Tensor.Int32 when raw is not null: tensor.Integers = Values<int, long>(raw, value => value); break;
            case OnnxSchema.Tensor.Int64 or OnnxSchema.Tensor.Int32: tensor.Integers = [.. integers]; break;
            default: return;
        }
        Int128 count = 1;
        foreach (int dimension in tensor.Shape)
            count = Int128.Min(count * dimension, int.MaxValue + 1L);
        int given = tensor.Floats?.Length ?? tensor.Integers!.Length;
        if (count != given)
            throw new InvalidDataException($"'{tensor.Name}' has shape [{string.Join(", ", tensor.Shape)}] but {given} values");
    }

    private static TResult[] Values<TStored, TResult>(byte[]? raw, Func<TStored, TResult> convert)
        where TStored : unmanaged
    {
        var stored = MemoryMarshal.Cast<byte, TStored>(raw ?? []);
        var values = new TResult[stored.Length];
        for (int i = 0; i < values.Length; i++)
            values[i] = convert(stored[i]);
        return values;
    }

    private OnnxValue Value()
    {
        string name = "";
        int type = 0;
        var shape = new List<long?>();
        _reader.Message(field =>
        {
            switch (field)
            {
                case OnnxSchema.ValueInfo.Name: name = _reader.Text(); break;
                case OnnxSchema.ValueInfo.Type: _reader.Message(TypeField); break;
                default: _reader.Skip(); break;
            }
        });
        return new OnnxValue(name, type, shape);

        void TypeField(int field)
        {
            if (field == OnnxSchema.Type.Tensor)
                _reader.Message(TensorField);
            else
                _reader.Skip();
        }

        void TensorField(int field)
        {
            if (field == OnnxSchema.Type.ElementType)
                type = (int)_reader.Integer();
            else if (field == OnnxSchema.Type.Shape)
                _reader.Message(ShapeField);
            else
                _reader.Skip();
        }

        void ShapeField(int field)
        {
            if (field != OnnxSchema.Shape.Dimension || shape.Count >= MaximumRank)
            {
                _reader.Skip();
                return;
            }
            long? size = null;
            _reader.Message(part =>
            {
                if (part == OnnxSchema.Shape.Value)
                    size = _reader.Integer();
                else
                    _reader.Skip();
            });
            shape.Add(size);
        }
    }
}
