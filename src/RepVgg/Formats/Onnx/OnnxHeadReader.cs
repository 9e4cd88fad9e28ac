using RepVgg.Networks;

namespace RepVgg.Formats.Onnx;

/// <summary>Recognises the end of a network: a classifier (global average pool, flatten, linear, and a softmax that is left out), or features.</summary>
internal sealed class OnnxHeadReader(OnnxGraph graph)
{
    /// <summary>Reads the head.</summary>
    /// <returns>What the network gives; the linear layer, null where it gives features; and the map of the last block.</returns>
    /// <exception cref="InvalidDataException">It is another head.</exception>
    public (NetworkOutput Output, LinearSource? Classifier, string Map) Read()
    {
        string value = Unflatten(graph.Output.Name);
        if (graph.Producer(value) is { Operation: "Softmax" } softmax)
        {
            if (softmax.Integer("axis", -1) is not (1 or -1))
                throw new InvalidDataException($"{softmax} is not over the classes");
            value = graph.InputOf(softmax);
        }
        else if (graph.Producer(value)?.Operation is "GlobalAveragePool" or "ReduceMean")
        {
            return (NetworkOutput.PooledFeatures, null, OnnxPooling.Source(graph, value));
        }
        else if (graph.Producer(value)?.Operation is "Relu" or "Mul")
        {
            return (NetworkOutput.FeatureMap, null, value);
        }
        var (classifier, features) = Linear(value);
        return (NetworkOutput.Logits, classifier, OnnxPooling.Source(graph, Unflatten(features)));
    }

    private string Unflatten(string value)
    {
        const int Most = 4;
        for (int i = 0; i < Most && graph.Producer(value) is { Operation: "Flatten" or "Reshape" or "Squeeze" } flatten; i++)
            value = graph.InputOf(flatten);
        return value;
    }

    private (LinearSource Layer, string Features) Linear(string value)
    {
        var node = graph.Producer(value) ?? throw new InvalidDataException($"nothing gives its output '{value}'");
        if (node.Operation == "Gemm")
        {
            if (node.Float("alpha", 1) != 1 || node.Float("beta", 1) != 1 || node.Integer("transA", 0) != 0)
                throw new InvalidDataException($"{node} scales or transposes its input, which a classifier does not");
            return (Layer(node, graph.ConstantOf(node, 1), node.Integer("transB", 0) != 0, graph.HasInput(node, 2) ? graph.ConstantOf(node, 2) : null), graph.InputOf(node));
        }
        if (node.Operation == "Add" && node.Inputs.Count == 2)
        {
            int side = graph.Constant(node.Inputs[0]) is null ? 1 : 0;
            var product = graph.Producer(graph.InputOf(node, 1 - side), "MatMul");
            return (Layer(product, graph.ConstantOf(product, 1), false, graph.ConstantOf(node, side)), graph.InputOf(product));
        }
        throw new InvalidDataException($"a linear layer was expected to give '{value}', but {node} does");
    }

    private static LinearSource Layer(OnnxNode node, OnnxTensor weight, bool outputsFirst, OnnxTensor? bias)
    {
        if (weight.Shape is not [int rows and > 0, int columns and > 0])
            throw new InvalidDataException($"the weight of {node} has shape [{string.Join(", ", weight.Shape)}], not two dimensions");
        var (outputs, inputs) = outputsFirst ? (rows, columns) : (columns, rows);
        WeightSource values = weight;
        if (!outputsFirst)
        {
            var stored = weight.Read();
            var turned = new float[stored.Length];
            for (int i = 0; i < turned.Length; i++)
                turned[i] = stored[i % inputs * outputs + i / inputs];
            values = new HeldWeights(turned);
        }
        WeightSource shift = bias is null ? new HeldWeights(new float[outputs]) : bias;
        if (shift.Length != outputs)
            throw new InvalidDataException($"the bias of {node} has {shift.Length} values for {outputs} classes");
        return new LinearSource(inputs, outputs, values, shift);
    }
}
