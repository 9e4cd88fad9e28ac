using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Reparameterization;

namespace RepVgg.Weights.Onnx;

/// <summary>A RepVGG block that was recognised in an ONNX graph, with fused branches.</summary>
/// <param name="Source">Name of the block's input value, a feature map.</param>
/// <param name="Convolution">The sum of the branches.</param>
/// <param name="SqueezeExcitation">Position of the squeeze-and-excitation, or None.</param>
/// <param name="Squeeze">First layer of the squeeze-and-excitation; null without.</param>
/// <param name="Excite">Second layer of the squeeze-and-excitation; null without.</param>
internal sealed record OnnxBlock(string Source, LinearBranch Convolution, SqueezeExcitation SqueezeExcitation, LinearSource? Squeeze, LinearSource? Excite);

/// <summary>Recognises RepVGG blocks in an ONNX graph: branches, ReLU, squeeze-and-excitation.</summary>
internal sealed class OnnxBlockReader(OnnxGraph graph)
{
    private readonly OnnxBranchReader _branches = new(graph);

    /// <summary>Reads the block whose output is a given feature map.</summary>
    /// <returns>The block; null if neither a ReLU nor a squeeze-and-excitation gate computes the map, so that it is not the output of a block.</returns>
    /// <exception cref="InvalidDataException">The operations are not a RepVGG block.</exception>
    public OnnxBlock? Read(string map)
    {
        var last = graph.Producer(map);
        if (last is not null && graph.IsRelu(last))
        {
            string inner = graph.InputOf(last);
            return TryGate(inner) is { } gate
                ? Block(gate.Map, SqueezeExcitation.BeforeRelu, gate.Squeeze, gate.Excite)
                : Block(inner, SqueezeExcitation.None, null, null);
        }
        if (TryGate(map) is not { } after)
            return null;
        return Block(graph.InputOf(Relu(after.Map)), SqueezeExcitation.AfterRelu, after.Squeeze, after.Excite);
    }

    private OnnxBlock Block(string value, SqueezeExcitation squeezeExcitation, LinearSource? squeeze, LinearSource? excite) =>
        _branches.Read(value) is (var source, { IsDiagonal: false } sum)
            ? new OnnxBlock(source, sum, squeezeExcitation, squeeze, excite)
            : throw new InvalidDataException($"'{value}' must be the output of a convolution, but it is the output of {graph.Producer(value)?.ToString() ?? "no operation"}");

    /// <summary>Recognises map * sigmoid(up(relu(down(pool(map))))).</summary>
    private (string Map, LinearSource Squeeze, LinearSource Excite)? TryGate(string value)
    {
        if (graph.Producer(value) is not { Operation: "Mul", Inputs.Count: 2 } product)
            return null;
        int side = graph.Producer(graph.InputOf(product, 1))?.Operation == "Sigmoid" ? 1 : 0;
        if (graph.Producer(graph.InputOf(product, side)) is not { Operation: "Sigmoid" } sigmoid)
            return null;
        string map = graph.InputOf(product, 1 - side), gate = graph.InputOf(sigmoid);
        if (gate == map)
            throw new InvalidDataException($"{product} is the activation x * sigmoid(x) (SiLU), which a RepVGG block cannot have: its activation is ReLU");
        try
        {
            var (excite, middle) = Linear(gate);
            var (squeeze, pooled) = Linear(graph.InputOf(Relu(middle)));
            return graph.SourceOfMean(pooled) == map ? (map, squeeze, excite) : throw new InvalidDataException("its gate is not computed from the map that it scales");
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException($"{product} is not a squeeze-and-excitation: {error.Message}", error);
        }
    }

    private OnnxNode Relu(string value) => graph.Producer(value) is { } node && graph.IsRelu(node) ? node : graph.Producer(value, "Relu");

    private (LinearSource Layer, string Source) Linear(string value) => Pointwise(graph, graph.Producer(value, "Conv"));

    /// <summary>Reads a 1x1 convolution on a pooled feature map as a linear layer.</summary>
    internal static (LinearSource Layer, string Source) Pointwise(OnnxGraph graph, OnnxNode node)
    {
        var kernel = graph.KernelOf(node);
        if (kernel.Shape is not [int outputs and > 0, int inputs and > 0, 1, 1] || node.Integer("group", 1) != 1 || (node.Integers("pads") ?? []).Any(pad => pad != 0))
            throw new InvalidDataException($"{node} is not a 1x1 convolution, as it must be on a pooled map");
        var bias = graph.HasInput(node, 2) ? graph.ConstantOf(node, 2) : TensorData.Zeros(outputs);
        if (bias.Length != outputs)
            throw new InvalidDataException($"the bias of {node} has {bias.Length} values for {outputs} channels");
        return (new LinearSource(inputs, outputs, kernel, bias), graph.InputOf(node));
    }
}
