using System.Globalization;
using System.Runtime.InteropServices;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.Onnx;

/// <summary>Parses an ONNX file into an <see cref="OnnxModel"/>.</summary>
internal sealed class OnnxParser
{
    private const int MaximumNodes = 100_000;
    private const int MaximumIntegers = 1 << 16;
    private const int MaximumExternalIntegers = 1 << 20;
    private const int MaximumParts = 1000;
    private const int MaximumAttributes = 500_000;
    private const int MaximumRank = 8;
    private const int MaximumOperatorSet = 25;

    // Up to this size, values are read with the operations and not when they are used.
    private const int MaximumCopy = 4096;

    private readonly OnnxModel _model = new();
    private readonly ByteWindow _window;
    private readonly OnnxExternalData? _external;
    private readonly List<long> _numbers = [];

    private readonly HashSet<string> _operations = new(StringComparer.Ordinal);

    // Number of integers in external files that were read. Many tensors can refer to the same bytes of a file.
    private long _externalIntegers;
    private int _attributes;

    private OnnxParser(ByteSource source)
    {
        _window = new ByteWindow(source);
        _external = source.Path.Length > 0 ? new OnnxExternalData(source) : null;
    }

    /// <summary>Parses a model, which is copied to memory.</summary>
    /// <param name="stream">Stream with the model; it is read from the current position to the end.</param>
    /// <exception cref="InvalidDataException">The data is not an ONNX model. The message contains only the reason.</exception>
    public static OnnxModel Parse(Stream stream) => Parse(ByteSource.Copy(stream));

    /// <summary>Parses a model. Longer lists of floats are not read: the tensors read their values from the source when they are used.</summary>
    /// <param name="source">The file. It must stay open while the model is used.</param>
    /// <exception cref="InvalidDataException">The data is not an ONNX model. The message contains only the reason.</exception>
    public static OnnxModel Parse(ByteSource source)
    {
        var parser = new OnnxParser(source);
        var model = parser.Model(new ProtoReader(parser._window, source.All));
        model.Bytes = source.Length + (parser._external?.Length ?? 0);
        return model;
    }

    /// <summary>Reads the metadata of a model. Its graph is skipped, so that it need not be one that this parser reads.</summary>
    /// <param name="stream">Stream with the model. It is read from the current position to the end, and copied to memory if it cannot seek or is not at position 0.</param>
    /// <exception cref="InvalidDataException">The data is not an ONNX model. The message contains only the reason.</exception>
    public static IReadOnlyDictionary<string, string> ParseProperties(Stream stream)
    {
        var source = ByteSource.Of(stream);
        var parser = new OnnxParser(source);
        var reader = new ProtoReader(parser._window, source.All);
        while (reader.Next(out int field))
        {
            if (field == OnnxSchema.Model.Metadata)
                parser.Property(reader.Message());
            else
                reader.Skip();
        }
        return parser._model.Properties;
    }

    private OnnxModel Model(ProtoReader reader)
    {
        bool hasGraph = false;
        while (reader.Next(out int field))
        {
            switch (field)
            {
                case OnnxSchema.Model.Graph:
                    if (hasGraph)
                        throw new InvalidDataException("it holds two graphs");
                    hasGraph = true;
                    Graph(reader.Message());
                    break;
                case OnnxSchema.Model.OpsetImport: OperatorSet(reader.Message()); break;
                case OnnxSchema.Model.Metadata: Property(reader.Message()); break;
                default: reader.Skip(); break;
            }
        }
        return hasGraph ? _model : throw new InvalidDataException("it holds no graph");
    }

    private void OperatorSet(ProtoReader reader)
    {
        string domain = "";
        long version = 0;
        while (reader.Next(out int field))
        {
            switch (field)
            {
                case OnnxSchema.Opset.Domain: domain = reader.Text(); break;
                case OnnxSchema.Opset.Version: version = reader.Integer(); break;
                default: reader.Skip(); break;
            }
        }
        if (domain is not ("" or "ai.onnx"))
            return;
        _model.OperatorSet = version is >= 1 and <= MaximumOperatorSet ? (int)version
            : throw new InvalidDataException($"it is of operator set {version}; the sets 1 to {MaximumOperatorSet} are supported");
    }

    private void Property(ProtoReader reader)
    {
        Pair(reader, _model.Properties);
        if (_model.Properties.Count > MaximumParts)
            throw new InvalidDataException($"it has more than {MaximumParts} properties");
    }

    private static void Pair(ProtoReader reader, Dictionary<string, string> pairs)
    {
        string key = "", value = "";
        while (reader.Next(out int field))
        {
            switch (field)
            {
                case OnnxSchema.Property.Key: key = reader.Text(); break;
                case OnnxSchema.Property.Value: value = reader.Text(); break;
                default: reader.Skip(); break;
            }
        }
        pairs[key] = value;
    }

    private void Graph(ProtoReader reader)
    {
        while (reader.Next(out int field))
        {
            switch (field)
            {
                case OnnxSchema.Graph.Node: Node(reader.Message()); break;
                case OnnxSchema.Graph.Initializer:
                    var tensor = Tensor(reader.Message());
                    if (!_model.Constants.TryAdd(tensor.Name, tensor))
                        throw new InvalidDataException($"two constants are named '{tensor.Name}'");
                    break;
                case OnnxSchema.Graph.Input: _model.Inputs.Add(Value(reader.Message())); break;
                case OnnxSchema.Graph.Output: _model.Outputs.Add(Value(reader.Message())); break;
                default: reader.Skip(); break;
            }
            if (_model.Inputs.Count + _model.Outputs.Count + _model.Constants.Count > MaximumNodes)
                throw new InvalidDataException($"it has more than {MaximumNodes} values");
        }
    }

    private void Node(ProtoReader reader)
    {
        if (_model.Nodes.Count >= MaximumNodes)
            throw new InvalidDataException($"it has more than {MaximumNodes} operations");
        var node = new OnnxNode();
        int attributes = 0;
        while (reader.Next(out int field))
        {
            switch (field)
            {
                case OnnxSchema.Node.Input: node.Inputs.Add(reader.Text()); break;
                case OnnxSchema.Node.Output: node.Outputs.Add(reader.Text()); break;
                case OnnxSchema.Node.Name: node.Name = reader.Text(); break;
                case OnnxSchema.Node.OpType: node.Operation = Shared(reader.Text()); break;
                case OnnxSchema.Node.Domain: node.Domain = reader.Text(); break;
                case OnnxSchema.Node.Attribute:
                    var attribute = Attribute(reader.Message());
                    node.Attributes[attribute.Name] = attribute;
                    attributes++;
                    if (++_attributes > MaximumAttributes)
                        throw new InvalidDataException($"its operations have more than {MaximumAttributes} attributes");
                    break;
                default: reader.Skip(); break;
            }
            if (node.Inputs.Count + node.Outputs.Count + attributes > MaximumParts)
                throw new InvalidDataException($"an operation has more than {MaximumParts} inputs, outputs and attributes");
        }
        if (node.Operation.Length == 0 || node.Outputs.Count == 0)
            throw new InvalidDataException($"an operation has no {(node.Operation.Length == 0 ? "type" : "outputs")}");
        _model.Nodes.Add(node);
    }

    /// <summary>Returns one string for all types of operations that are equal.</summary>
    private string Shared(string operation)
    {
        if (_operations.TryGetValue(operation, out string? known))
            return known;
        _operations.Add(operation);
        return operation;
    }

    private OnnxAttribute Attribute(ProtoReader reader)
    {
        var attribute = new OnnxAttribute();
        while (reader.Next(out int field))
        {
            switch (field)
            {
                case OnnxSchema.Attribute.Name: attribute.Name = reader.Text(); break;
                case OnnxSchema.Attribute.Float: attribute.Float = reader.Single(); break;
                case OnnxSchema.Attribute.Integer: attribute.Integer = reader.Integer(); break;
                case OnnxSchema.Attribute.Text: attribute.Text = reader.Text(); break;
                case OnnxSchema.Attribute.Floats: Floats(ref reader, attribute.Floats ??= []); break;
                case OnnxSchema.Attribute.Integers: reader.Integers(attribute.Integers, MaximumIntegers); break;
                case OnnxSchema.Attribute.Tensor: attribute.Tensor = Tensor(reader.Message()); break;
                default: reader.Skip(); break;
            }
        }
        return attribute;
    }

    private static void Floats(ref ProtoReader reader, List<float> values)
    {
        var packed = reader.WireType == 2 ? reader.Slice() : default;
        if (values.Count + Math.Max(1, packed.Length / sizeof(float)) > MaximumIntegers)
            throw new InvalidDataException($"it holds a list of more than {MaximumIntegers} numbers");
        if (packed.Source is null)
            values.Add(reader.Single());
        else
            values.AddRange(MemoryMarshal.Cast<byte, float>(packed.Source.Read(packed.Start, (int)packed.Length)));
    }

    private OnnxConstant Tensor(ProtoReader reader)
    {
        string name = "";
        Dictionary<string, string>? external = null;
        var integers = new List<long>();
        ByteSlice raw = default, list = default;
        int type = 0;
        bool isExternal = false, hasRaw = false, hasList = false;
        _numbers.Clear();
        while (reader.Next(out int field))
        {
            switch (field)
            {
                case OnnxSchema.Tensor.Dims: reader.Integers(_numbers, MaximumRank); break;
                case OnnxSchema.Tensor.DataType: type = (int)reader.Integer(); break;
                case OnnxSchema.Tensor.Name: name = reader.Text(); break;
                case OnnxSchema.Tensor.RawData:
                    raw = reader.Slice();
                    hasRaw = true;
                    break;
                case OnnxSchema.Tensor.FloatData or OnnxSchema.Tensor.DoubleData when reader.WireType == 2:
                    // Exporters do not write a packed list in several parts. If there are several, the last one has too few values and is rejected below.
                    list = reader.Slice();
                    hasList = true;
                    break;
                case OnnxSchema.Tensor.Int64Data or OnnxSchema.Tensor.Int32Data: reader.Integers(integers, MaximumIntegers); break;
                case OnnxSchema.Tensor.ExternalData: Pair(reader.Message(), external ??= new Dictionary<string, string>(StringComparer.Ordinal)); break;
                case OnnxSchema.Tensor.DataLocation: isExternal = reader.Integer() != 0; break;
                default: reader.Skip(); break;
            }
        }
        var shape = new int[_numbers.Count];
        for (int i = 0; i < shape.Length; i++)
            shape[i] = _numbers[i] is >= 0 and <= int.MaxValue and var size ? (int)size : throw new InvalidDataException($"'{name}' has a dimension {_numbers[i]}");
        return isExternal
            ? Constant(name, shape, type, External(name, shape, type, external ?? []), true, integers)
            : Constant(name, shape, type, hasRaw ? raw : list, hasRaw || hasList, integers);
    }

    /// <summary>Gets the values of a tensor that are in another file.</summary>
    private ByteSlice External(string name, int[] shape, int type, Dictionary<string, string> properties)
    {
        if (_external is null)
            throw new InvalidDataException($"the values of '{name}' are in another file, which a stream does not have: read the file by its path");
        int size = type switch
        {
            OnnxSchema.Tensor.Double or OnnxSchema.Tensor.Int64 => 8,
            OnnxSchema.Tensor.Float or OnnxSchema.Tensor.Int32 => 4,
            OnnxSchema.Tensor.Float16 or OnnxSchema.Tensor.BFloat16 => 2,
            OnnxSchema.Tensor.Int8 or OnnxSchema.Tensor.UInt8 => 1,
            _ => 0, // a type that no RepVGG needs; its values are not read
        };
        double length = shape.Aggregate((double)size, (product, dimension) => product * dimension);
        if (!properties.TryGetValue("location", out string? location))
            throw new InvalidDataException($"the values of '{name}' are in another file that is not named");
        if (length > int.MaxValue || (size > 0 && Number("length") is { } given && given != (long)length))
            throw new InvalidDataException($"the values of '{name}', of shape [{string.Join(", ", shape)}], are said to be {Number("length")} bytes");
        if (type is OnnxSchema.Tensor.Int64 or OnnxSchema.Tensor.Int32 && (_externalIntegers += (long)length / size) > MaximumExternalIntegers)
            throw new InvalidDataException($"its external files hold more than {MaximumExternalIntegers} integers; a network has only shapes, axes and paddings");
        return _external.Find(name, location, Number("offset") ?? 0, (long)length);

        long? Number(string key) => !properties.TryGetValue(key, out string? text) ? null
            : long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long value) ? value
            : throw new InvalidDataException($"the {key} of the values of '{name}' in '{location}' is '{text}'");
    }

    private OnnxConstant Constant(string name, int[] shape, int type, ByteSlice stored, bool isStored, List<long> integers)
    {
        switch (type)
        {
            case OnnxSchema.Tensor.Float16 when !isStored:
                CheckCount(name, shape, integers.Count);
                return new OnnxConstant(name, shape, new TensorData(shape, [.. integers.Select(bits => (float)BitConverter.UInt16BitsToHalf((ushort)bits))]), null);
            case OnnxSchema.Tensor.Float: return Floats(name, shape, ScalarType.Float32, stored);
            case OnnxSchema.Tensor.Double: return Floats(name, shape, ScalarType.Float64, stored);
            case OnnxSchema.Tensor.Float16: return Floats(name, shape, ScalarType.Float16, stored);
            case OnnxSchema.Tensor.BFloat16 when isStored: return Floats(name, shape, ScalarType.BFloat16, stored);
            case OnnxSchema.Tensor.Int64 when isStored: return Integers(name, shape, MemoryMarshal.Cast<byte, long>(Stored(name, shape, sizeof(long), stored)).ToArray());
            case OnnxSchema.Tensor.Int32 when isStored: return Integers(name, shape, Array.ConvertAll(MemoryMarshal.Cast<byte, int>(Stored(name, shape, sizeof(int), stored)).ToArray(), value => (long)value)) with { ElementType = type };
            case OnnxSchema.Tensor.Int64 or OnnxSchema.Tensor.Int32: return Integers(name, shape, [.. integers]) with { ElementType = type };
            case OnnxSchema.Tensor.Int8 or OnnxSchema.Tensor.UInt8 when isStored:
                CheckCount(name, shape, stored.Length);
                return new OnnxConstant(name, shape, null, null) { ElementType = type, Bytes = stored };
            case OnnxSchema.Tensor.Int8 or OnnxSchema.Tensor.UInt8: return Integers(name, shape, [.. integers]) with { ElementType = type };
            default: return new OnnxConstant(name, shape, null, null) { ElementType = type };
        }
    }

    /// <summary>Creates a floating-point constant. Long lists of values are read when they are used.</summary>
    private OnnxConstant Floats(string name, int[] shape, ScalarType type, ByteSlice stored)
    {
        int size = StorageDecoder.SizeOf(type);
        CheckCount(name, shape, stored.Length / size);
        // Values in other files are always read when they are used, because many tensors can have the same ones.
        if (stored.Length > MaximumCopy || stored.Source != _window.Source)
            return new OnnxConstant(name, shape, new TensorData(shape, (start, values) => StorageDecoder.Read(stored.Source, stored.Start + (long)start * size, type, values)), null);
        var values = new float[stored.Length / size];
        StorageDecoder.Decode(_window.Bytes(stored.Start, values.Length * size), type, values);
        return new OnnxConstant(name, shape, new TensorData(shape, values), null);
    }

    /// <summary>Reads the values of an integer constant.</summary>
    private static byte[] Stored(string name, int[] shape, int size, ByteSlice stored)
    {
        CheckCount(name, shape, stored.Length / size);
        return stored.Source.Read(stored.Start, (int)stored.Length);
    }

    private static OnnxConstant Integers(string name, int[] shape, long[] values)
    {
        CheckCount(name, shape, values.Length);
        return new OnnxConstant(name, shape, null, values);
    }

    private static void CheckCount(string name, int[] shape, long count)
    {
        // The product is computed in double, which does not overflow, so too large a product cannot equal the number of values.
        double product = 1;
        foreach (int dimension in shape)
            product *= dimension;
        if (product != count)
            throw new InvalidDataException($"'{name}' has shape [{string.Join(", ", shape)}] but {count} values");
        if (count > Array.MaxLength)
            throw new InvalidDataException($"'{name}' has {count} values, more than {Array.MaxLength}");
    }

    private static OnnxValue Value(ProtoReader reader)
    {
        string name = "";
        int type = 0;
        var shape = new List<long?>();
        while (reader.Next(out int field))
        {
            switch (field)
            {
                case OnnxSchema.ValueInfo.Name: name = reader.Text(); break;
                case OnnxSchema.ValueInfo.Type: Type(reader.Message(), ref type, shape); break;
                default: reader.Skip(); break;
            }
        }
        return new OnnxValue(name, type, shape);
    }

    private static void Type(ProtoReader reader, ref int type, List<long?> shape)
    {
        while (reader.Next(out int field))
        {
            if (field != OnnxSchema.Type.Tensor)
            {
                reader.Skip();
                continue;
            }
            var tensor = reader.Message();
            while (tensor.Next(out int part))
            {
                switch (part)
                {
                    case OnnxSchema.Type.ElementType: type = (int)tensor.Integer(); break;
                    case OnnxSchema.Type.Shape: Shape(tensor.Message(), shape); break;
                    default: tensor.Skip(); break;
                }
            }
        }
    }

    private static void Shape(ProtoReader reader, List<long?> shape)
    {
        while (reader.Next(out int field))
        {
            if (field != OnnxSchema.Shape.Dimension || shape.Count >= MaximumRank)
            {
                reader.Skip();
                continue;
            }
            long? size = null;
            var dimension = reader.Message();
            while (dimension.Next(out int part))
            {
                if (part == OnnxSchema.Shape.Value)
                    size = dimension.Integer();
                else
                    dimension.Skip();
            }
            shape.Add(size);
        }
    }
}
