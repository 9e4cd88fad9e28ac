using RepVgg.Reparameterization;

namespace RepVgg.Weights.Onnx;

/// <summary>A linear map of a feature map, recognised in an ONNX graph.</summary>
/// <param name="Source">Name of the input feature map.</param>
/// <param name="Branch">The linear map; null for the identity, whose number of channels is unknown here.</param>
internal readonly record struct OnnxBranch(string Source, LinearBranch? Branch);

/// <summary>Computes the linear map that the operations between two nonlinear operations of an ONNX graph are equivalent to.</summary>
internal sealed class OnnxBranchReader(OnnxGraph graph)
{
    private const int MaximumDepth = 64;

    /// <summary>Reads the linear map that ends in a value, from the output to the input, through Add, BatchNormalization and Conv.</summary>
    /// <exception cref="InvalidDataException">An operation cannot be part of a RepVGG block.</exception>
    public OnnxBranch Read(string value) => Read(value, 0);

    private OnnxBranch Read(string value, int depth)
    {
        if (depth > MaximumDepth)
            throw new InvalidDataException("its operations form a cycle, or are nested too deep");
        var node = graph.Producer(value);
        return node?.Operation switch
        {
            "Conv" => Convolution(node),
            "BatchNormalization" => Norm(node, depth),
            "Add" => Sum(node, depth),
            _ => new OnnxBranch(graph.Resolve(value), null),
        };
    }

    private OnnxBranch Sum(OnnxNode node, int depth)
    {
        string left = graph.InputOf(node, 0), right = graph.InputOf(node, 1);
        if (graph.Constant(left) is { } leftConstant)
            return Shift(node, Read(right, depth + 1), leftConstant);
        if (graph.Constant(right) is { } rightConstant)
            return Shift(node, Read(left, depth + 1), rightConstant);
        var (source, first) = Read(left, depth + 1);
        var (otherSource, second) = Read(right, depth + 1);
        if (source != otherSource)
            throw new InvalidDataException($"branches that read '{source}' and '{otherSource}' are added");
        if (first is null && second is null)
            throw new InvalidDataException($"two identity branches of '{source}' are added without a convolution");
        first ??= LinearBranch.Identity(second!.InputChannels);
        second ??= LinearBranch.Identity(first.InputChannels);
        if (!first.CanAdd(second))
            throw new InvalidDataException($"branches of '{source}' that differ in channels, stride or groups are added by {node}: {first}; {second}");
        return new OnnxBranch(source, first.Plus(second));
    }

    private OnnxBranch Shift(OnnxNode node, OnnxBranch map, TensorData constant)
    {
        if (constant.Values is [0])
            return map;
        if (map.Branch is not { } branch)
            throw new InvalidDataException($"{node} adds a constant to a map without a convolution");
        var shift = Array.ConvertAll(graph.PerChannel(node, constant, branch.OutputChannels), value => (double)value);
        return map with { Branch = branch.Then([.. Enumerable.Repeat(1.0, shift.Length)], shift) };
    }

    private OnnxBranch Norm(OnnxNode node, int depth)
    {
        if (node.Integer("training_mode", 0) != 0)
            throw new InvalidDataException($"{node} is in training mode; export the network in evaluation mode");
        float[] weight = graph.ConstantOf(node, 1).Values, bias = graph.ConstantOf(node, 2).Values;
        float[] mean = graph.ConstantOf(node, 3).Values, variance = graph.ConstantOf(node, 4).Values;
        if (bias.Length != weight.Length || mean.Length != weight.Length || variance.Length != weight.Length)
            throw new InvalidDataException($"the parameters of {node} differ in length");
        var norm = new NormValues(weight, bias, mean, variance, node.Float("epsilon", 1e-5f));
        if (norm.InvalidChannel is >= 0 and var invalid)
            throw new InvalidDataException($"a variance of {node} is {variance[invalid]}");
        var map = Read(graph.InputOf(node), depth + 1);
        var branch = map.Branch ?? LinearBranch.Identity(weight.Length);
        if (branch.OutputChannels != weight.Length)
            throw new InvalidDataException($"a batch norm of {weight.Length} channels follows {branch.OutputChannels} channels");
        return map with { Branch = branch.Then(norm) };
    }

    private OnnxBranch Convolution(OnnxNode node)
    {
        var kernel = graph.ConstantOf(node, 1);
        if (kernel.Shape is not [int outputs and > 0, int inputs and > 0, int height, int width] || height != width || height is not (1 or 3))
            throw new InvalidDataException($"the kernel of {node} has shape [{string.Join(", ", kernel.Shape)}]; RepVGG has 3x3 and 1x1 kernels only");
        long groups = node.Integer("group", 1);
        int stride = Square(node, "strides", 1), dilation = Square(node, "dilations", 1);
        CheckPadding(node, height / 2);
        if (dilation != 1 || stride is not (1 or 2) || groups < 1 || outputs % groups != 0 || groups * inputs > int.MaxValue)
            throw new InvalidDataException($"{node} has a stride, a dilation or groups that a RepVGG block cannot have");
        var bias = graph.HasInput(node, 2) ? graph.ConstantOf(node, 2) : null;
        if (bias is not null && bias.Length != outputs)
            throw new InvalidDataException($"the bias of {node} has {bias.Length} values for {outputs} channels");
        return new OnnxBranch(graph.InputOf(node), LinearBranch.Convolution(kernel, (int)groups * inputs, outputs, height, width, stride, (int)groups, bias));
    }

    private static int Square(OnnxNode node, string attribute, int otherwise) => node.Integers(attribute) switch
    {
        null or [] => otherwise,
        [var first, var second] when first == second && first is > 0 and < 1000 => (int)first,
        _ => throw new InvalidDataException($"the {attribute} of {node} are not equal for height and width"),
    };

    private static void CheckPadding(OnnxNode node, int expected)
    {
        if (node.Attributes.ContainsKey("auto_pad") && node.Integers("pads") is null or [])
            throw new InvalidDataException($"{node} leaves its padding to the runtime, which is not supported");
        var pads = node.Integers("pads");
        bool fits = pads is null or [] ? expected == 0 : pads is [var top, var left, var bottom, var right] && top == expected && left == expected && bottom == expected && right == expected;
        if (!fits)
            throw new InvalidDataException($"{node} is padded by [{string.Join(", ", pads ?? [])}], not by {expected} on all sides");
    }
}
