using System.Collections.Immutable;
using System.Runtime.InteropServices;
using RepVgg.Networks;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.Onnx;

/// <summary>A constant of integers with scales, which a DequantizeLinear converts to floats.</summary>
/// <param name="Shape">Dimensions.</param>
/// <param name="Values">The integers minus the zero point, which are signed bytes for weights.</param>
/// <param name="Scales">One scale, or one for each index along the axis.</param>
/// <param name="Axis">The axis of the scales.</param>
internal sealed record OnnxQuantizedConstant(int[] Shape, OnnxIntegers Values, float[] Scales, int Axis)
{
    /// <summary>The scales of the output channels, which are the first dimension; null if the scales are along another axis.</summary>
    public float[]? ChannelScales => Scales.Length == 1 ? [.. Enumerable.Repeat(Scales[0], Shape.Length == 0 ? 1 : Shape[0])] : Axis == 0 ? Scales : null;

    /// <summary>The numbers that the integers stand for. They are computed when they are read.</summary>
    public TensorData Dequantized()
    {
        int inner = Scales.Length == 1 ? int.MaxValue : Shape[(Axis + 1)..].Aggregate(1, (count, size) => count * size);
        return new TensorData(Shape, (start, values) =>
        {
            for (int i = 0; i < values.Length; i++)
                values[i] = Values[start + i] * Scales[(start + i) / inner % Scales.Length];
        });
    }
}

/// <summary>Integers of a constant. They are held as signed bytes if all of them are some, so that a network takes one byte for a weight while it is read.</summary>
internal sealed class OnnxIntegers
{
    private readonly int[]? _wide;

    private OnnxIntegers(ImmutableArray<sbyte> bytes, int[]? wide) => (Bytes, _wide) = (bytes, wide);

    /// <summary>The integers, if all of them are signed bytes; otherwise the default.</summary>
    public ImmutableArray<sbyte> Bytes { get; }

    public int Length => _wide?.Length ?? Bytes.Length;

    public int this[int index] => _wide is null ? Bytes[index] : _wide[index];

    /// <summary>Holds the values of a function of their index.</summary>
    public static OnnxIntegers Of(int count, Func<int, int> value)
    {
        var bytes = new sbyte[count];
        for (int i = 0; i < count; i++)
        {
            int integer = value(i);
            if (integer is < sbyte.MinValue or > sbyte.MaxValue)
                return new OnnxIntegers(default, [.. Enumerable.Range(0, count).Select(value)]);
            bytes[i] = (sbyte)integer;
        }
        return Of(bytes);
    }

    /// <summary>Holds bytes, which must not be changed.</summary>
    public static OnnxIntegers Of(sbyte[] bytes) => new(ImmutableCollectionsMarshal.AsImmutableArray(bytes), null);
}

/// <summary>
/// Removes the pairs of QuantizeLinear and DequantizeLinear (QDQ) from a model, so that the readers of networks in floating point can read it, and keeps what
/// they say: how maps are stored, and the integers of the weights.
/// </summary>
/// <remarks>
/// A pair that stores a convolution's sums with the smallest integer as the zero point limits them to 0 or more, so that exporters leave the ReLU out; a ReLU takes its place.
/// </remarks>
internal sealed class OnnxQuantizedGraph
{
    private const string Quantize = "QuantizeLinear", Dequantize = "DequantizeLinear";

    private readonly OnnxModel _model;
    private readonly Dictionary<string, OnnxNode> _producers = new(StringComparer.Ordinal);
    private readonly HashSet<OnnxNode> _removed = [];
    private readonly OnnxBudget _budget;

    private OnnxQuantizedGraph(OnnxModel model)
    {
        _model = model;
        _budget = new OnnxBudget(model.Bytes, "its integers, where a constant counts for each operation that uses it,");
        foreach (var node in model.Nodes)
        {
            foreach (string output in node.Outputs)
                _producers.TryAdd(output, node);
        }
    }

    /// <summary>How values are stored, by the names of the values in front of the pairs and, if a ReLU takes the place of a pair, behind it.</summary>
    public Dictionary<string, QuantizationParameters> Stored { get; } = new(StringComparer.Ordinal);

    /// <summary>The constants of integers, by the names of the values that they are converted to.</summary>
    public Dictionary<string, OnnxQuantizedConstant> Constants { get; } = new(StringComparer.Ordinal);

    /// <summary>Whether a model has such pairs, or constants of integers that are converted to floats.</summary>
    public static bool IsQuantized(OnnxModel model) => model.Nodes.Exists(node => node.Operation == Dequantize && node.Domain is "" or "ai.onnx");

    /// <summary>Removes the pairs from a model.</summary>
    /// <returns>What they say; null if the model has none.</returns>
    /// <exception cref="InvalidDataException">A pair has types, scales or zero points that no engine of this library can use.</exception>
    public static OnnxQuantizedGraph? Remove(OnnxModel model)
    {
        if (!IsQuantized(model))
            return null;
        var graph = new OnnxQuantizedGraph(model);
        foreach (var node in model.Nodes)
        {
            if (node.Operation == Dequantize && node is { Inputs.Count: >= 2, Outputs.Count: 1 })
                graph.Remove(node);
        }
        model.Nodes.RemoveAll(graph._removed.Contains);
        return graph;
    }

    private void Remove(OnnxNode node)
    {
        string source = node.Inputs[0], output = node.Outputs[0];
        if (Constant(source) is { } constant)
        {
            Add(node, Constant(node, constant));
            return;
        }
        if (_producers.GetValueOrDefault(source) is not { Operation: Quantize, Inputs.Count: >= 2 } quantize)
            throw new InvalidDataException($"{node} does not follow a QuantizeLinear, and its input is no constant of integers that is supported");
        // Weights in floating point that are rounded in the graph.
        if (Constant(quantize.Inputs[0]) is { Floats: not null } floats)
        {
            Add(node, Rounded(quantize, floats));
            return;
        }
        int type = TypeOf(quantize);
        var (parameters, isLowest) = Parameters(quantize, type);
        if (Parameters(node, type).Parameters != parameters)
            throw new InvalidDataException($"{quantize} and {node} have different scales or zero points");
        string value = quantize.Inputs[0];
        bool becomesRelu = isLowest && _producers.GetValueOrDefault(value)?.Operation is "Conv" or "BatchNormalization" or "Add";
        node.Operation = becomesRelu ? "Relu" : "Identity";
        node.Inputs.Clear();
        node.Inputs.Add(value);
        node.Attributes.Clear();
        if (!Stored.TryAdd(becomesRelu ? output : value, parameters) && Stored[becomesRelu ? output : value] != parameters)
            throw new InvalidDataException($"'{MessageText.Printable(value)}' is quantized with several scales or zero points");
    }

    private void Add(OnnxNode node, OnnxQuantizedConstant constant)
    {
        string output = node.Outputs[0];
        if (!Constants.TryAdd(output, constant))
            throw new InvalidDataException($"two operations have the output '{MessageText.Printable(output)}'");
        _model.Constants[output] = new OnnxConstant(output, constant.Shape, constant.Dequantized(), null);
        _removed.Add(node);
    }

    /// <summary>The type of the integers of a QuantizeLinear without zero point.</summary>
    private static int TypeOf(OnnxNode quantize) => (int)quantize.Integer("output_dtype", 0) is > 0 and var type ? type : OnnxSchema.Tensor.UInt8;

    /// <summary>Rounds weights in floating point as a QuantizeLinear does.</summary>
    private OnnxQuantizedConstant Rounded(OnnxNode node, OnnxConstant constant)
    {
        var (scales, axis, inner) = ScalesOf(node, constant);
        var (type, zeroPoints) = ZeroPoints(node, TypeOf(node));
        (int least, int most) = type switch
        {
            OnnxSchema.Tensor.Int8 => ((int)sbyte.MinValue, (int)sbyte.MaxValue),
            OnnxSchema.Tensor.UInt8 => (byte.MinValue, byte.MaxValue),
            _ => throw new InvalidDataException($"{node} is of the type number {type} of ONNX; weights are bytes in this library"),
        };
        float[] values = constant.Floats!.Read();
        _budget.Take(values.Length, node);
        return new OnnxQuantizedConstant(constant.Shape, OnnxIntegers.Of(values.Length, Rounded), scales, axis);

        int Rounded(int i)
        {
            int zeroPoint = zeroPoints[zeroPoints.Length == 1 ? 0 : i / inner % zeroPoints.Length];
            return (int)Math.Clamp(MathF.Round(values[i] / scales[scales.Length == 1 ? 0 : i / inner % scales.Length]) + zeroPoint, least, most) - zeroPoint;
        }
    }

    /// <summary>Reads a scale and a zero point of a map, for unsigned bytes, and whether the zero point is the smallest integer.</summary>
    /// <param name="node">The operation.</param>
    /// <param name="otherwise">Type of the integers if the operation has no zero point.</param>
    private (QuantizationParameters Parameters, bool IsLowest) Parameters(OnnxNode node, int otherwise)
    {
        float scale = Scales(node) is [var single] ? single : throw new InvalidDataException($"{node} has several scales; maps have one in this library");
        var (type, zeroPoints) = ZeroPoints(node, otherwise);
        int zeroPoint = zeroPoints is [var point] ? point : throw new InvalidDataException($"{node} has several zero points; maps have one in this library");
        // Signed bytes and the same with 128 added are the same numbers.
        zeroPoint += type switch
        {
            OnnxSchema.Tensor.UInt8 => 0,
            OnnxSchema.Tensor.Int8 => 128,
            _ => throw new InvalidDataException($"{node} is of the type number {type} of ONNX; maps are bytes in this library"),
        };
        return zeroPoint is >= byte.MinValue and <= byte.MaxValue
            ? (new QuantizationParameters(scale, (byte)zeroPoint), zeroPoint == 0)
            : throw new InvalidDataException($"the zero point of {node} is no byte");
    }

    private OnnxQuantizedConstant Constant(OnnxNode node, OnnxConstant constant)
    {
        var (scales, axis, inner) = ScalesOf(node, constant);
        var values = Integers(node, constant);
        var (_, zeroPoints) = ZeroPoints(node, 0);
        if (zeroPoints.Length != 1 && zeroPoints.Length != scales.Length)
            throw new InvalidDataException($"{node} has {zeroPoints.Length} zero points for {scales.Length} scales");
        if (Array.Exists(zeroPoints, point => point != 0))
        {
            var stored = values;
            values = OnnxIntegers.Of(stored.Length, i => stored[i] - zeroPoints[zeroPoints.Length == 1 ? 0 : i / inner % zeroPoints.Length]);
        }
        return new OnnxQuantizedConstant(constant.Shape, values, scales, axis);
    }

    /// <summary>Reads the scales of a constant, their axis, and the number of consecutive values that have the same one.</summary>
    private (float[] Scales, int Axis, int Inner) ScalesOf(OnnxNode node, OnnxConstant constant)
    {
        if (node.Integer("block_size", 0) != 0)
            throw new InvalidDataException($"{node} has scales for blocks of values; one for each output channel, or one for all, is supported");
        int axis = (int)Math.Clamp(node.Integer("axis", 1), -8, 8);
        axis = axis < 0 ? axis + constant.Shape.Length : axis;
        float[] scales = Scales(node);
        if (scales.Length == 1)
            return (scales, axis, int.MaxValue);
        if (axis >= constant.Shape.Length || axis < 0 || constant.Shape[axis] != scales.Length)
            throw new InvalidDataException($"{node} has {scales.Length} scales for a constant of shape [{string.Join(", ", constant.Shape)}]");
        return (scales, axis, constant.Shape[(axis + 1)..].Aggregate(1, (count, size) => count * size));
    }

    private float[] Scales(OnnxNode node)
    {
        float[] scales = Find(node, 1)?.Floats?.Read() ?? throw new InvalidDataException($"the scale of {node} is not a constant of floats");
        foreach (float scale in scales)
        {
            if (!(scale > 0 && float.IsFinite(scale)))
                throw new InvalidDataException(FormattableString.Invariant($"{node} has the scale {scale}, which must be a positive number"));
        }
        return scales.Length > 0 ? scales : throw new InvalidDataException($"{node} has no scale");
    }

    /// <summary>Reads the zero points and their type; 0, of a given type, without any.</summary>
    private (int Type, int[] Values) ZeroPoints(OnnxNode node, int otherwise)
    {
        if (node.Inputs.Count < 3 || node.Inputs[2].Length == 0)
            return (otherwise, [0]);
        var constant = Find(node, 2) ?? throw new InvalidDataException($"the zero point of {node} is not constant");
        var integers = Integers(node, constant);
        return (constant.ElementType, [.. Enumerable.Range(0, integers.Length).Select(i => integers[i])]);
    }

    private OnnxConstant? Find(OnnxNode node, int input) => input < node.Inputs.Count ? Constant(node.Inputs[input]) : null;

    /// <summary>Gets an initializer or the tensor of a Constant operation, also through Identity.</summary>
    private OnnxConstant? Constant(string name)
    {
        for (int i = 0; i < 8; i++)
        {
            if (_model.Constants.TryGetValue(name, out var constant))
                return constant;
            if (_producers.GetValueOrDefault(name) is not { } node)
                return null;
            if (node is not { Operation: "Identity", Inputs.Count: 1 })
                return node.Operation == "Constant" ? node.Attribute("value")?.Tensor : null;
            name = node.Inputs[0];
        }
        return null;
    }

    private OnnxIntegers Integers(OnnxNode node, OnnxConstant constant)
    {
        _budget.Take(constant.Shape.Aggregate(1.0, (count, size) => count * size), node);
        if (constant.Integers is { } integers)
            return OnnxIntegers.Of(integers.Length, i => (int)Math.Clamp(integers[i], int.MinValue, int.MaxValue));
        if (constant.Bytes is not { } stored)
            throw new InvalidDataException($"{node} reads '{MessageText.Printable(constant.Name)}', of the type number {constant.ElementType} of ONNX; integers of 8 and 32 bits are supported");
        sbyte[] bytes = stored.Source.Read<sbyte>(stored.Start, (int)stored.Length);
        return constant.ElementType == OnnxSchema.Tensor.Int8 ? OnnxIntegers.Of(bytes) : OnnxIntegers.Of(bytes.Length, i => (byte)bytes[i]);
    }
}
