using RepVgg.Reparameterization;
using RepVgg.Runtime;

namespace RepVgg.Weights.Onnx;

/// <summary>A linear map of a feature map, recognised in an ONNX graph.</summary>
/// <param name="Source">Name of the input feature map.</param>
/// <param name="Branch">The linear map; null for the identity, whose number of channels is unknown here.</param>
internal readonly record struct OnnxBranch(string Source, LinearBranch? Branch);

/// <summary>Computes the linear map that the operations between two nonlinear operations of an ONNX graph are equivalent to.</summary>
internal sealed class OnnxBranchReader(OnnxGraph graph)
{
    // Operations that follow each other, and branches of one sum. The blocks of the known forms have at most 10 and 6.
    private const int MaximumDepth = 64, MaximumBranches = 64;

    // The linear maps that were read, by the value that they end in. A value can be used by many operations.
    private readonly Dictionary<string, OnnxBranch> _read = new(StringComparer.Ordinal);

    /// <summary>Reads the linear map that ends in a value, from the output to the input, through Conv with Pad, BatchNormalization, sums, and sums and products with constants.</summary>
    /// <exception cref="InvalidDataException">An operation cannot be part of a RepVGG block, or the block has too many operations or branches.</exception>
    public OnnxBranch Read(string value) => Read(value, 0);

    private OnnxBranch Read(string value, int depth)
    {
        value = graph.Resolve(value);
        if (_read.TryGetValue(value, out var known))
            return known;
        if (depth > MaximumDepth)
            throw new InvalidDataException($"its operations form a cycle, or are nested too deep: more than {MaximumDepth} operations without an activation lead from '{MessageText.Printable(value)}'");
        var node = graph.Producer(value);
        return _read[value] = node?.Operation switch
        {
            "Conv" => Convolution(node),
            "BatchNormalization" => Norm(node, depth),
            "Add" or "Sum" => Sum(node, depth),
            "Sub" or "Mul" or "Div" when Constant(node) is { } side => Scaled(node, Read(graph.InputOf(node, 1 - side), depth + 1), graph.ConstantOf(node, side), side == 0),
            _ => new OnnxBranch(value, null),
        };
    }

    /// <summary>Gets the index of the only constant input of an operation with two inputs; null if there is not exactly one.</summary>
    private int? Constant(OnnxNode node)
    {
        if (node.Inputs.Count != 2)
            return null;
        bool first = graph.Constant(node.Inputs[0]) is not null, second = graph.Constant(node.Inputs[1]) is not null;
        return first == second ? null : first ? 0 : 1;
    }

    private OnnxBranch Sum(OnnxNode node, int depth)
    {
        if (Constant(node) is { } side)
            return Scaled(node, Read(graph.InputOf(node, 1 - side), depth + 1), graph.ConstantOf(node, side), side == 0);
        if (node.Inputs.Count < 2)
            throw new InvalidDataException($"{node} has {node.Inputs.Count} inputs");
        var sum = Read(graph.InputOf(node), depth + 1);
        for (int i = 1; i < node.Inputs.Count; i++)
            sum = Plus(node, sum, Read(graph.InputOf(node, i), depth + 1));
        return sum;
    }

    private static OnnxBranch Plus(OnnxNode node, OnnxBranch left, OnnxBranch right)
    {
        var (source, first) = left;
        var (otherSource, second) = right;
        if (source != otherSource)
            throw new InvalidDataException($"branches that read '{source}' and '{otherSource}' are added by {node}");
        if (first is null && second is null)
            throw new InvalidDataException($"two identity branches of '{source}' are added by {node} without a convolution");
        first ??= LinearBranch.Identity(second!.InputChannels);
        second ??= LinearBranch.Identity(first.InputChannels);
        if (!first.CanAdd(second))
            throw new InvalidDataException($"branches of '{source}' that differ in channels, stride or groups are added by {node}: {first}; {second}");
        if (first.Branches + second.Branches > MaximumBranches)
            throw new InvalidDataException($"{node} is the sum of more than {MaximumBranches} branches of '{source}'; a value that is added several times counts as often");
        return new OnnxBranch(source, first.Plus(second));
    }

    /// <summary>Reads a sum, difference, product or quotient of a map and a constant.</summary>
    private OnnxBranch Scaled(OnnxNode node, OnnxBranch map, TensorData constant, bool constantFirst)
    {
        if (node.Operation is "Add" or "Sum" && constant.Length == 1 && constant.Read()[0] == 0)
            return map;
        if (map.Branch is not { } branch)
            throw new InvalidDataException($"{node} adds or multiplies a constant and a map without a convolution");
        // A scale and a shift in double precision, and the values that they are computed from.
        graph.Computed.Take(8.0 * branch.OutputChannels, node);
        var values = Array.ConvertAll(graph.PerChannel(node, constant, branch.OutputChannels), value => (double)value);
        double[] ones = [.. Enumerable.Repeat(1.0, values.Length)], zeros = new double[values.Length];
        return map with
        {
            Branch = (node.Operation, constantFirst) switch
            {
                ("Add" or "Sum", _) => branch.Then(ones, values),
                ("Sub", false) => branch.Then(ones, Array.ConvertAll(values, value => -value)),
                ("Sub", true) => branch.Then(Array.ConvertAll(ones, value => -value), values),
                ("Mul", _) => branch.Then(values, zeros),
                ("Div", false) when Array.IndexOf(values, 0.0) < 0 => branch.Then(Array.ConvertAll(values, value => 1 / value), zeros),
                _ => throw new InvalidDataException($"{node} divides by a map or by zero"),
            },
        };
    }

    private OnnxBranch Norm(OnnxNode node, int depth)
    {
        // Before operator set 7, is_test says the mode; before 14, a batch norm in training mode also has the statistics as outputs.
        if (node.Integer("training_mode", 0) != 0 || node.Integer("is_test", graph.OperatorSet < 7 ? 0 : 1) == 0 || node.Outputs.Skip(1).Any(output => output.Length > 0))
            throw new InvalidDataException($"{node} is in training mode; export the network in evaluation mode");
        float[] weight = graph.LoadedConstantOf(node, 1).Values, bias = graph.LoadedConstantOf(node, 2).Values;
        float[] mean = graph.LoadedConstantOf(node, 3).Values, variance = graph.LoadedConstantOf(node, 4).Values;
        if (bias.Length != weight.Length || mean.Length != weight.Length || variance.Length != weight.Length)
            throw new InvalidDataException($"the parameters of {node} differ in length");
        var norm = new NormValues(weight, bias, mean, variance, node.Float("epsilon", 1e-5f));
        if (norm.InvalidChannel is >= 0 and var invalid)
            throw new InvalidDataException(FormattableString.Invariant($"a variance of {node} is {variance[invalid]}, and its epsilon is {norm.Epsilon}; the sum must be positive and finite"));
        var map = Read(graph.InputOf(node), depth + 1);
        var branch = map.Branch ?? LinearBranch.Identity(weight.Length);
        if (branch.OutputChannels != weight.Length)
            throw new InvalidDataException($"{node} of {weight.Length} channels follows {branch.OutputChannels} channels");
        graph.Computed.Take(4.0 * weight.Length, node);
        return map with { Branch = branch.Then(norm) };
    }

    private OnnxBranch Convolution(OnnxNode node)
    {
        var kernel = graph.KernelOf(node);
        if (kernel.Shape is not [int outputs and > 0, int inputs and > 0, int height and (1 or 3), int width and (1 or 3)])
            throw new InvalidDataException($"the kernel of {node} has shape [{string.Join(", ", kernel.Shape)}]; RepVGG has 3x3 and 1x1 kernels only");
        long groups = node.Integer("group", 1);
        int stride = Square(node, "strides", 1), dilation = Square(node, "dilations", 1);
        if ((dilation != 1 && stride != 1) || stride is not (1 or 2) || groups < 1 || outputs % groups != 0 || groups * inputs > int.MaxValue)
            throw new InvalidDataException($"{node} has a stride, a dilation or groups that a RepVGG block cannot have");
        var (source, top, left) = ReadPadding(node, height, width, stride, dilation);
        var bias = graph.HasInput(node, 2) ? graph.ConstantOf(node, 2) : null;
        if (bias is not null && bias.Length != outputs)
            throw new InvalidDataException($"the bias of {node} has {bias.Length} values for {outputs} channels");
        return new OnnxBranch(source, LinearBranch.Convolution(kernel, (int)groups * inputs, outputs, height, width, stride, (int)groups, bias, top, left, dilation));
    }

    private static int Square(OnnxNode node, string attribute, int otherwise) => node.Integers(attribute) switch
    {
        null or [] => otherwise,
        [var first, var second] when first == second && first is > 0 and < 1000 => (int)first,
        _ => throw new InvalidDataException($"the {attribute} of {node} are not equal for height and width"),
    };

    /// <summary>
    /// Checks that the input is padded by half the kernel's size on all sides, by the convolution, a Pad before it, or both together. With stride 2, it may have no padding at the top or at the left, as
    /// TensorFlow's 'same' pads inputs of even size.
    /// </summary>
    /// <returns>The name of the map that is padded, and the rows and columns of zeros at the top and at the left of a 3x3 kernel; 1 for 1x1 kernels.</returns>
    private (string Source, int Top, int Left) ReadPadding(OnnxNode node, int height, int width, int stride, int dilation)
    {
        string source = graph.InputOf(node);
        long[] before = [0, 0, 0, 0];
        if (graph.Producer(source) is { Operation: "Pad" } pad)
        {
            before = ZerosAround(pad);
            source = graph.InputOf(pad);
        }
        var pads = node.Integers("pads") is { Count: > 0 } given ? given : [0, 0, 0, 0];
        long[] expected = [height / 2 * dilation, width / 2 * dilation, height / 2 * dilation, width / 2 * dilation];
        string auto = node.Text("auto_pad", "NOTSET");
        if (auto is "SAME_UPPER" or "SAME_LOWER" && before.All(size => size == 0))
        {
            // With stride 2, a 3x3 kernel is padded on both sides only if the size of the map is odd.
            if (stride > 1 && (height > 1 || width > 1))
            {
                graph.SizeConditions.Add((source, (mapHeight, mapWidth) => (height == 1 || mapHeight % 2 == 1) && (width == 1 || mapWidth % 2 == 1)
                    ? null : $"{node} is padded on one side only ({auto} in a map of {mapHeight} x {mapWidth} pixels), which a RepVGG block cannot be"));
            }
            pads = expected;
        }
        else if (auto == "VALID")
        {
            pads = [0, 0, 0, 0];
        }
        else if (auto is not ("NOTSET" or ""))
        {
            throw new InvalidDataException($"{node} has the padding {auto}, which is not supported");
        }
        bool fits = pads.Count == 4;
        int top = 1, left = 1;
        for (int side = 0; fits && side < 4; side++)
        {
            long padding = before[side] + pads[side];
            fits = padding == expected[side];
            if (fits || padding != 0 || stride != 2 || side > 1)
                continue;
            fits = true;
            (top, left) = side == 0 ? (0, left) : (top, 0);
            int axis = side;
            graph.SizeConditions.Add((source, (mapHeight, mapWidth) => (axis == 0 ? mapHeight : mapWidth) % 2 == 0
                ? null : $"{node} is padded on one side only in a map of {mapHeight} x {mapWidth} pixels, which is supported for even sizes, as TensorFlow pads them"));
        }
        return fits ? (source, top, left) : throw new InvalidDataException(
            $"{node} is padded by [{string.Join(", ", before.Zip(pads, (first, second) => first + second))}], not by {(height == width ? $"{height / 2 * dilation} on all sides" : $"[{string.Join(", ", expected)}]")}");
    }

    /// <summary>Gets the numbers of zeros that a Pad adds at the top, left, bottom and right of a map.</summary>
    private long[] ZerosAround(OnnxNode pad)
    {
        var sizes = graph.IntegersOf(pad, "pads", 1);
        bool zeros = pad.Text("mode", "constant") == "constant" && pad.Float("value", 0) == 0 && (!graph.HasInput(pad, 2) || graph.SingleValue(pad.Inputs[2]) == 0);
        var axes = graph.HasInput(pad, 3) ? graph.Integers(pad.Inputs[3]) : [0, 1, 2, 3];
        if (sizes is null || !zeros || axes is null || sizes.Count != 2 * axes.Length)
            throw new InvalidDataException($"{pad} pads a map in a way that is not supported: by constant numbers of zeros only");
        long[] around = [0, 0, 0, 0];
        for (int i = 0; i < axes.Length; i++)
        {
            long axis = axes[i] < 0 ? axes[i] + 4 : axes[i];
            if (axis is not (2 or 3) && (sizes[i] != 0 || sizes[i + axes.Length] != 0))
                throw new InvalidDataException($"{pad} pads more than height and width");
            if (axis is 2 or 3)
                (around[axis - 2], around[axis]) = (sizes[i], sizes[i + axes.Length]);
        }
        return around;
    }
}
