using System.Collections.Immutable;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Runtime;

namespace RepVgg.Weights.Onnx;

/// <summary>Reads the integers of the layers of a quantized network.</summary>
/// <param name="graph">The graph without the pairs of QuantizeLinear and DequantizeLinear.</param>
/// <param name="quantized">What the pairs said.</param>
internal sealed class OnnxQuantizedReader(OnnxGraph graph, OnnxQuantizedGraph quantized)
{
    // Largest relative difference of the scale of a bias and the product of those of the input and the weights, of which it is the rounded value.
    private const double ScaleTolerance = 1e-5;

    private Dictionary<string, QuantizationParameters>? _stored;

    /// <summary>How a map is stored; null if it is not quantized.</summary>
    /// <param name="map">Name of the map.</param>
    public QuantizationParameters? StoredOf(string map)
    {
        // By the names behind the operations that change nothing.
        if (_stored is null)
        {
            _stored = new(StringComparer.Ordinal);
            foreach (var (name, parameters) in quantized.Stored)
                _stored[graph.Resolve(name)] = parameters;
        }
        return _stored.TryGetValue(graph.Resolve(map), out var found) ? found : null;
    }

    /// <summary>Reads a block of integers.</summary>
    /// <param name="shape">The shape of the block.</param>
    /// <param name="map">Name of its output.</param>
    /// <param name="input">How its input is stored.</param>
    /// <param name="output">How its output is stored.</param>
    /// <param name="squeeze">First layer of its squeeze-and-excitation, or null.</param>
    /// <param name="excite">Second layer of its squeeze-and-excitation, or null.</param>
    /// <returns>The block; null if its weights, or the map in front of its squeeze-and-excitation, are not quantized, or if several branches are added.</returns>
    /// <exception cref="InvalidDataException">Its integers are of a kind that is not supported.</exception>
    public QuantizedBlock? Block(BlockSpec shape, string map, QuantizationParameters input, QuantizationParameters output, LinearWeights? squeeze, LinearWeights? excite)
    {
        var (convolution, beforeSqueeze) = Convolution(map);
        if (convolution is null || (squeeze is not null && beforeSqueeze is null) || Weights(convolution, input) is not { } weights)
            return null;
        if (output.ZeroPoint != 0)
            throw new InvalidDataException($"the map '{MessageText.Printable(map)}' is quantized with the zero point {output.ZeroPoint}; a map that follows a ReLU needs the smallest integer, or it wastes a part of its range");
        return new QuantizedBlock
        {
            Shape = shape,
            Convolution = weights,
            Squeeze = squeeze,
            Excite = excite,
            BeforeSqueeze = squeeze is null ? null : beforeSqueeze,
            Output = output,
        };
    }

    /// <summary>Reads a classifier of integers.</summary>
    /// <param name="node">The linear layer; null if there is none.</param>
    /// <param name="layer">The same layer in floating point.</param>
    /// <returns>How its input is stored, and its integers; null if they are not quantized.</returns>
    /// <exception cref="InvalidDataException">Its integers are of a kind that is not supported.</exception>
    public (QuantizationParameters Pooled, QuantizedWeights Weights)? Classifier(OnnxNode? node, LinearSource layer)
    {
        bool isSupported = node is { Operation: "Gemm" } && node.Integer("transB", 0) == 1 && node.Integer("transA", 0) == 0 && node.Float("alpha", 1) == 1 && node.Float("beta", 1) == 1;
        if (!isSupported || PooledOf(graph.InputOf(node!)) is not { } pooled || Weights(node!, pooled) is not { } weights || weights.Biases.Length != layer.OutputFeatures)
            return null;
        return (pooled, weights);
    }

    // The features can be quantized before or after they are flattened, but not the map that is pooled.
    private QuantizationParameters? PooledOf(string features)
    {
        for (int i = 0; i < 4; i++)
        {
            if (StoredOf(features) is { } stored)
                return stored;
            if (graph.Producer(features) is not { Operation: "Flatten" or "Reshape" or "Squeeze" } node)
                return null;
            features = graph.InputOf(node);
        }
        return null;
    }

    /// <summary>Finds the only convolution of a block, and how its result is stored in front of a squeeze-and-excitation.</summary>
    private (OnnxNode? Convolution, QuantizationParameters? BeforeSqueeze) Convolution(string map)
    {
        QuantizationParameters? beforeSqueeze = null;
        for (int i = 0; i < 4; i++)
        {
            var node = graph.Producer(map);
            if (node is { Operation: "Conv" })
                return (node, beforeSqueeze);
            if (node is { Operation: "Mul", Inputs.Count: 2 })
            {
                map = graph.InputOf(node, graph.Producer(node.Inputs[0])?.Operation == "Sigmoid" ? 1 : 0);
                beforeSqueeze = StoredOf(map);
            }
            else if (graph.IsRelu(node))
            {
                map = graph.InputOf(node!);
            }
            else
            {
                break;
            }
        }
        return default;
    }

    /// <summary>Reads the integers of a layer; null if its weights are not quantized.</summary>
    private QuantizedWeights? Weights(OnnxNode node, QuantizationParameters input)
    {
        if (!quantized.Constants.TryGetValue(graph.InputOf(node, 1), out var constant))
            return null;
        float[] scales = constant.ChannelScales
            ?? throw new InvalidDataException($"the weights of {node} have scales along axis {constant.Axis}; one for each output channel (axis 0), or one for all, is supported");
        var weights = ImmutableArray.CreateBuilder<sbyte>(constant.Values.Length);
        foreach (int value in constant.Values)
        {
            weights.Add(value is >= sbyte.MinValue and <= sbyte.MaxValue ? (sbyte)value : throw new InvalidDataException(
                $"a weight of {node} minus its zero point is {value}; signed bytes, -128 to 127, are supported: quantize weights symmetrically"));
        }
        return new QuantizedWeights(weights.MoveToImmutable(), [.. scales], Biases(node, input, scales));
    }

    private ImmutableArray<int> Biases(OnnxNode node, QuantizationParameters input, float[] scales)
    {
        if (!graph.HasInput(node, 2))
            return [.. new int[scales.Length]];
        if (quantized.Constants.TryGetValue(graph.InputOf(node, 2), out var constant) && constant.ChannelScales is { } given && constant.Values.Length == scales.Length
            && given.Zip(scales).All(pair => Math.Abs(pair.First - (double)input.Scale * pair.Second) <= ScaleTolerance * pair.First))
        {
            return [.. constant.Values];
        }
        // Floats, or integers with other scales.
        float[] biases = graph.LoadedConstantOf(node, 2).Values;
        if (biases.Length != scales.Length)
            throw new InvalidDataException($"the bias of {node} has {biases.Length} values for {scales.Length} channels");
        return [.. biases.Select((bias, channel) => Math.Abs(bias / ((double)input.Scale * scales[channel])) is var steps and < int.MaxValue
            ? (int)Math.Round(Math.CopySign(steps, bias))
            : throw new InvalidDataException(FormattableString.Invariant($"the bias {bias} of channel {channel} of {node} is more than 2^31 steps of {input.Scale} * {scales[channel]}")))];
    }
}
