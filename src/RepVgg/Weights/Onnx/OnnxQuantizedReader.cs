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

    private readonly HashSet<string> _used = new(StringComparer.Ordinal);
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
            {
                if (!_stored.TryAdd(graph.Resolve(name), parameters) && _stored[graph.Resolve(name)] != parameters)
                    throw new InvalidDataException($"'{MessageText.Printable(name)}' is quantized with several scales or zero points");
            }
        }
        string value = graph.Resolve(map);
        if (!_stored.TryGetValue(value, out var found))
            return null;
        _used.Add(value);
        return found;
    }

    /// <summary>Checks that no value is quantized in the graph whose quantization was not read: the results would be others.</summary>
    /// <param name="output">Name of the output. That the results themselves are quantized is left out.</param>
    /// <returns>Whether the output is quantized.</returns>
    /// <exception cref="InvalidDataException">Another value is quantized.</exception>
    public bool CheckAllRead(string output)
    {
        bool isOutputQuantized = StoredOf(output) is not null;
        if (_stored!.Keys.FirstOrDefault(value => !_used.Contains(value)) is { } other)
            throw new InvalidDataException($"'{MessageText.Printable(other)}' is quantized, which must stay in floating point: quantized can be the input of the first convolution, the results of blocks, what squeeze-and-excitation scales, and the input of a classifier that is quantized, too");
        return isOutputQuantized;
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
        if (convolution is null || graph.KernelOf(convolution).Shape is not [_, _, 3, 3] || (squeeze is not null && beforeSqueeze is null) || Weights(convolution, input) is not { } weights)
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
        bool isSupported = node is { Operation: "Gemm" } && node.Integer("transB", 0) == 1 && node.Integer("transA", 0) == 0 && node.Float("alpha", 1) == 1 && node.Float("beta", 1) == 1
            && quantized.Constants.ContainsKey(graph.InputOf(node, 1));
        if (!isSupported || PooledOf(graph.InputOf(node!)) is not { } pooled || Weights(node!, pooled) is not { } weights || weights.Biases.Length != layer.OutputFeatures)
            return null;
        return (pooled, weights);
    }

    // The features can be quantized before they are flattened, afterwards, or both, with the same parameters.
    private QuantizationParameters? PooledOf(string features)
    {
        QuantizationParameters? found = null;
        for (int i = 0; i < 4; i++)
        {
            if (StoredOf(features) is { } stored)
            {
                if (found is { } other && other != stored)
                    throw new InvalidDataException($"'{MessageText.Printable(features)}' is quantized with several scales or zero points");
                found = stored;
            }
            if (graph.Producer(features) is not { Operation: "Flatten" or "Reshape" or "Squeeze" } node)
                break;
            features = graph.InputOf(node);
        }
        return found;
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
            if (node is { Operation: "Mul", Inputs.Count: 2 } && node.Inputs.FindIndex(input => graph.Producer(input)?.Operation == "Sigmoid") is >= 0 and var gate)
            {
                map = graph.InputOf(node, 1 - gate);
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
        if (constant.Values.Bytes.IsDefault)
        {
            int other = Enumerable.Range(0, constant.Values.Length).Select(i => constant.Values[i]).First(value => value is < sbyte.MinValue or > sbyte.MaxValue);
            throw new InvalidDataException($"a weight of {node} minus its zero point is {other}; signed bytes, -128 to 127, are supported: quantize weights symmetrically");
        }
        return Biases(node, input, scales) is { } biases ? new QuantizedWeights(constant.Values.Bytes, [.. scales], biases) : null;
    }

    /// <summary>Reads the biases in the units of the sums; null if there is not one for each channel.</summary>
    private ImmutableArray<int>? Biases(OnnxNode node, QuantizationParameters input, float[] scales)
    {
        if (!graph.HasInput(node, 2))
            return [.. new int[scales.Length]];
        if (quantized.Constants.TryGetValue(graph.InputOf(node, 2), out var constant) && constant.ChannelScales is { } given && constant.Values.Length == scales.Length
            && given.Zip(scales).All(pair => Math.Abs(pair.First - (double)input.Scale * pair.Second) <= ScaleTolerance * pair.First))
        {
            return [.. Enumerable.Range(0, scales.Length).Select(i => constant.Values[i])];
        }
        // Floats, or integers with other scales.
        float[] biases = graph.LoadedConstantOf(node, 2).Values;
        if (biases.Length != scales.Length)
            return null;
        return [.. biases.Select((bias, channel) => Math.Abs(bias / ((double)input.Scale * scales[channel])) is var steps and < int.MaxValue
            ? (int)Math.Round(Math.CopySign(steps, bias))
            : throw new InvalidDataException(FormattableString.Invariant($"the bias {bias} of channel {channel} of {node} is more than 2^31 steps of {input.Scale} * {scales[channel]}")))];
    }
}
