using RepVgg.Networks;

namespace RepVgg.Weights.Onnx;

/// <summary>Recognises the head of a network: a classifier (global average pooling, flatten, linear layer and an optional softmax, which is ignored), or features.</summary>
internal sealed class OnnxHeadReader(OnnxGraph graph)
{
    /// <summary>Reads the head.</summary>
    /// <returns>The kind of output; the linear layer, or null if the output is features; and the name of the last block's feature map.</returns>
    /// <exception cref="InvalidDataException">The graph has an unsupported head.</exception>
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
            return (NetworkOutput.PooledFeatures, null, graph.SourceOfMean(value));
        }
        else if (graph.Producer(value)?.Operation is "Relu" or "Mul")
        {
            return (NetworkOutput.FeatureMap, null, value);
        }
        var (classifier, features) = Linear(value);
        return (NetworkOutput.Logits, classifier, graph.SourceOfMean(Unflatten(features)));
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
        var node = graph.Producer(value) ?? throw new InvalidDataException($"no operation computes its output '{value}'");
        if (node.Operation == "Gemm")
        {
            if (node.Float("alpha", 1) != 1 || node.Float("beta", 1) != 1 || node.Integer("transA", 0) != 0)
                throw new InvalidDataException($"{node} scales or transposes its input, which is not supported for a classifier");
            return (Layer(node, graph.ConstantOf(node, 1), node.Integer("transB", 0) != 0, graph.HasInput(node, 2) ? graph.ConstantOf(node, 2) : null), graph.InputOf(node));
        }
        if (node.Operation == "Add" && node.Inputs.Count == 2)
        {
            int side = graph.Constant(node.Inputs[0]) is null ? 1 : 0;
            var product = graph.Producer(graph.InputOf(node, 1 - side), "MatMul");
            return (Layer(product, graph.ConstantOf(product, 1), false, graph.ConstantOf(node, side)), graph.InputOf(product));
        }
        throw new InvalidDataException($"'{value}' must be the output of a linear layer, but it is the output of {node}");
    }

    private static LinearSource Layer(OnnxNode node, TensorData weight, bool outputsFirst, TensorData? bias)
    {
        if (weight.Shape is not [int rows and > 0, int columns and > 0])
            throw new InvalidDataException($"the weight of {node} has shape [{string.Join(", ", weight.Shape)}], not two dimensions");
        var (outputs, inputs) = outputsFirst ? (rows, columns) : (columns, rows);
        if (!outputsFirst)
        {
            float[] stored = weight.Read();
            var transposed = new float[stored.Length];
            for (int i = 0; i < transposed.Length; i++)
                transposed[i] = stored[i % inputs * outputs + i / inputs];
            weight = new TensorData([outputs, inputs], transposed);
        }
        bias ??= TensorData.Zeros(outputs);
        if (bias.Length != outputs)
            throw new InvalidDataException($"the bias of {node} has {bias.Length} values for {outputs} classes");
        return new LinearSource(inputs, outputs, weight, bias);
    }
}
