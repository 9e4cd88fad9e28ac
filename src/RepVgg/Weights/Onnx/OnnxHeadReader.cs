using RepVgg.Networks;
using RepVgg.Runtime;

namespace RepVgg.Weights.Onnx;

/// <summary>Recognises the head of a network: a classifier (global average pooling, flatten, linear layer and an optional softmax, which is left out), or features.</summary>
internal sealed class OnnxHeadReader(OnnxGraph graph)
{
    private const int MaximumSums = 8;

    /// <summary>The linear layer of the classifier, after <see cref="Read"/>; null if there is none, or if constants are added to its results.</summary>
    public OnnxNode? Layer { get; private set; }

    /// <summary>Chooses the output of the network.</summary>
    /// <param name="given">Name of the output; null for the only one, or the one that ends in a classifier.</param>
    /// <param name="assume">Receives the choice if the graph has several outputs and none is given.</param>
    /// <exception cref="InvalidDataException">There is no such output, or it cannot be chosen.</exception>
    public string Choose(string? given, Action<WeightsAssumption> assume)
    {
        if (given is null && graph.Outputs.Count == 1)
            return graph.Outputs[0].Name;
        string[] names = [.. graph.Outputs.Select(output => output.Name).Distinct()];
        string list = $"'{MessageText.Join(names, separator: "', '")}'";
        if (given is not null)
            return names.Contains(given) ? given : throw new InvalidDataException($"it has no output '{given}'; it has {list}");
        if (names.Length == 1)
            return names[0];
        // Two outputs can end in the same classifier: its logits and their softmax.
        var classifiers = names.Select(name => (Name: name, Layer: LinearOf(name))).Where(output => output.Layer is not null).DistinctBy(output => output.Layer).ToList();
        if (classifiers.Count != 1)
            throw new InvalidDataException($"it has {names.Length} outputs, {list}, of which {classifiers.Count} end in a classifier of their own; give the name of one (the option Output)");
        string chosen = classifiers[0].Name;
        string others = $"'{MessageText.Join([.. names.Where(name => name != chosen)], separator: "', '")}'";
        assume(new WeightsAssumption(WeightsAssumptionKind.Output, MessageText.WithoutControls($"output '{chosen}', which ends in the classifier: left out is {others}")));
        return chosen;
    }

    /// <summary>Reads the head that computes an output.</summary>
    /// <param name="output">Name of the output.</param>
    /// <param name="assume">Receives that a softmax is left out, if there is one.</param>
    /// <returns>The kind of output; the linear layer, or null if the output is features; and the name of the last block's feature map.</returns>
    /// <exception cref="InvalidDataException">The graph has an unsupported head.</exception>
    public (NetworkOutput Output, LinearSource? Classifier, string Map) Read(string output, Action<WeightsAssumption> assume)
    {
        string value = Unflatten(output);
        if (graph.Producer(value) is { Operation: "Softmax" } softmax)
        {
            if (softmax.Integer("axis", -1) is not (1 or -1))
                throw new InvalidDataException($"{softmax} is not over the classes");
            value = Unflatten(graph.InputOf(softmax));
            assume(new WeightsAssumption(WeightsAssumptionKind.Softmax, MessageText.WithoutControls($"{softmax} at the end is left out: the results are logits, not probabilities")));
        }
        else if (graph.Producer(value)?.Operation is "GlobalAveragePool" or "ReduceMean" or "AveragePool")
        {
            return (NetworkOutput.PooledFeatures, null, graph.SourceOfMean(value, allowWindow: true));
        }
        else if (graph.IsRelu(graph.Producer(value)) || IsGate(graph.Producer(value)))
        {
            return (NetworkOutput.FeatureMap, null, value);
        }
        var (classifier, features) = Linear(value);
        return (NetworkOutput.Logits, classifier, graph.SourceOfMean(Unflatten(features), allowWindow: true));
    }

    /// <summary>Whether an operation multiplies a map with a gate, and not with a constant.</summary>
    private bool IsGate(OnnxNode? node) => node is { Operation: "Mul" } && node.Inputs.All(input => graph.Constant(input) is null);

    /// <summary>Gets the linear layer that an output ends in; null if there is none.</summary>
    private OnnxNode? LinearOf(string output)
    {
        string value = Unflatten(output);
        if (graph.Producer(value) is { Operation: "Softmax" } softmax)
            value = Unflatten(graph.InputOf(softmax));
        var node = graph.Producer(SkipSums(value, out _));
        return node?.Operation is "Gemm" or "MatMul" ? node
            : node?.Operation == "Conv" && graph.Producer(graph.InputOf(node))?.Operation is "GlobalAveragePool" or "ReduceMean" or "AveragePool" ? node
            : null;
    }

    /// <summary>Skips sums with a constant, which are biases of a linear layer.</summary>
    /// <param name="value">The result of the last sum.</param>
    /// <param name="sums">Receives the sums, the last one first, and which input of each is the constant.</param>
    private string SkipSums(string value, out List<(OnnxNode Node, int Constant)> sums)
    {
        sums = [];
        while (sums.Count < MaximumSums && graph.Producer(value) is { Operation: "Add", Inputs.Count: 2 } node
            && node.Inputs.FindIndex(input => graph.Constant(input) is not null) is >= 0 and var side)
        {
            sums.Add((node, side));
            value = Unflatten(graph.InputOf(node, 1 - side));
        }
        return value;
    }

    /// <summary>
    /// Skips operations that only give the values of an image another shape. The last dimension before a linear layer must be its
    /// number of features, and that is the number of channels of the map, so that a shape cannot mix images.
    /// </summary>
    private string Unflatten(string value)
    {
        const int Most = 8;
        for (int i = 0; i < Most && graph.Producer(value) is { Operation: "Flatten" or "Reshape" or "Squeeze" or "Unsqueeze" } flatten; i++)
            value = graph.InputOf(flatten);
        return value;
    }

    private (LinearSource Layer, string Features) Linear(string value)
    {
        string last = SkipSums(value, out var sums);
        var (layer, features) = LinearWithoutSums(last);
        if (sums.Count == 0)
        {
            Layer = graph.Producer(last);
            return (layer, features);
        }
        float[] bias = layer.Bias.ToArray();
        foreach (var (node, side) in Enumerable.Reverse(sums))
        {
            float[] shift = Bias(node, graph.ConstantOf(node, side), layer.OutputFeatures, 1);
            for (int i = 0; i < bias.Length; i++)
                bias[i] += shift[i];
        }
        return (new LinearSource(layer.InputFeatures, layer.OutputFeatures, layer.Weight, new TensorData(bias).Finite($"bias of {sums[0].Node}")), features);
    }

    private (LinearSource Layer, string Features) LinearWithoutSums(string value)
    {
        var node = graph.Producer(value) ?? throw new InvalidDataException($"no operation computes its output '{value}'");
        switch (node.Operation)
        {
            case "Gemm":
                string features = graph.InputOf(node);
                if (node.Integer("transA", 0) != 0)
                {
                    features = graph.Producer(features) is { Operation: "Transpose" } transpose && (transpose.Integers("perm") is null or [] or [1, 0])
                        ? graph.InputOf(transpose)
                        : throw new InvalidDataException($"{node} transposes its input, which is not supported for a classifier");
                }
                var bias = graph.HasInput(node, 2) ? graph.ConstantOf(node, 2) : null;
                return (LayerOf(node, graph.ConstantOf(node, 1), node.Integer("transB", 0) != 0, node.Float("alpha", 1), bias, node.Float("beta", 1)), features);
            case "MatMul":
                return (LayerOf(node, graph.ConstantOf(node, 1), false, 1, null, 1), graph.InputOf(node));
            case "Conv":
                return OnnxBlockReader.Pointwise(graph, node);
            default:
                throw new InvalidDataException($"'{value}' must be the output of a linear layer, but it is the output of {node}");
        }
    }

    private static LinearSource LayerOf(OnnxNode node, TensorData weight, bool outputsFirst, float scale, TensorData? bias, float biasScale)
    {
        if (weight.Shape is not [int rows and > 0, int columns and > 0])
            throw new InvalidDataException($"the weight of {node} has shape [{string.Join(", ", weight.Shape)}], not two dimensions");
        var (outputs, inputs) = outputsFirst ? (rows, columns) : (columns, rows);
        if (!outputsFirst || scale != 1)
        {
            float[] stored = weight.Read();
            var values = new float[stored.Length];
            for (int i = 0; i < values.Length; i++)
                values[i] = scale * (outputsFirst ? stored[i] : stored[i % inputs * outputs + i / inputs]);
            weight = new TensorData([outputs, inputs], values).Finite($"weight of {node}");
        }
        bias = bias is null ? TensorData.Zeros(outputs) : bias.Shape is [var length] && length == outputs && biasScale == 1 ? bias : new TensorData(Bias(node, bias, outputs, biasScale)).Finite($"bias of {node}");
        return new LinearSource(inputs, outputs, weight, bias);
    }

    /// <summary>Gets a bias for every class from a constant, which can be one value for all of them.</summary>
    private static float[] Bias(OnnxNode node, TensorData bias, int outputs, float scale)
    {
        bool fits = bias.Length == 1 || (bias.Length == outputs && bias.Shape[^1] == outputs);
        float[] values = fits ? bias.Read() : [];
        return fits
            ? [.. Enumerable.Range(0, outputs).Select(i => scale * values[values.Length == 1 ? 0 : i])]
            : throw new InvalidDataException($"the bias of {node} has {bias.Length} values for {outputs} classes, in shape [{string.Join(", ", bias.Shape)}]");
    }
}
