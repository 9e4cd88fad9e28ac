namespace RepVgg.Weights.Onnx;

/// <summary>The constants of an ONNX graph: initializers, Constant operations, and what simple operations compute from them.</summary>
/// <param name="constants">The initializers and the tensors of Constant operations.</param>
/// <param name="producers">The operations by the names of their outputs.</param>
/// <param name="resolve">Gets the name of a value before operations that change nothing.</param>
internal sealed class OnnxConstants(Dictionary<string, OnnxConstant> constants, Dictionary<string, OnnxNode> producers, Func<string, string> resolve)
{
    private const int MaximumDepth = 16;

    private readonly Dictionary<string, OnnxConstant?> _folded = new(StringComparer.Ordinal);

    /// <summary>Gets a constant, or null if the value of this name is not constant.</summary>
    public OnnxConstant? Find(string name) => Find(name, 0);

    private OnnxConstant? Find(string name, int depth)
    {
        name = resolve(name);
        if (constants.TryGetValue(name, out var constant) || _folded.TryGetValue(name, out constant))
            return constant;
        if (depth > MaximumDepth || !producers.TryGetValue(name, out var node))
            return null;
        _folded[name] = null; // so that a cycle ends here
        return _folded[name] = Fold(node, depth + 1);
    }

    private OnnxConstant? Fold(OnnxNode node, int depth)
    {
        if (node is { Operation: "Add" or "Sub" or "Mul" or "Div", Inputs.Count: 2 })
            return Find(node.Inputs[0], depth) is { Floats: not null } left && Find(node.Inputs[1], depth) is { Floats: not null } right ? Arithmetic(node, left, right) : null;
        if (node.Operation is not ("Transpose" or "Reshape" or "Flatten" or "Squeeze" or "Unsqueeze") || node.Inputs.Count == 0 || Find(node.Inputs[0], depth) is not { } source)
            return null;
        if (node.Operation == "Transpose")
            return Transpose(node, source);
        int[]? shape = node.Operation switch
        {
            "Reshape" => Reshaped(source, List(node, "shape", depth)),
            "Flatten" => Flattened(source.Shape, node.Integer("axis", 1)),
            "Squeeze" => Squeezed(source.Shape, List(node, "axes", depth)),
            _ => Unsqueezed(source.Shape, List(node, "axes", depth)),
        };
        if (shape is null || Count(shape) != Count(source.Shape))
            throw new InvalidDataException($"{node} gives a constant of shape [{string.Join(", ", source.Shape)}] a shape that it cannot have");
        var floats = source.Floats is { } values ? new TensorData(shape, values.Read()) : null;
        return source with { Shape = shape, Floats = floats };
    }

    /// <summary>Computes with two constants of the same shape, or of which one is a single value; null for other shapes.</summary>
    private static OnnxConstant? Arithmetic(OnnxNode node, OnnxConstant left, OnnxConstant right)
    {
        float[] first = left.Floats!.Read(), second = right.Floats!.Read();
        if (first.Length != 1 && second.Length != 1 && !left.Shape.SequenceEqual(right.Shape))
            return null;
        int[] shape = first.Length == 1 && right.Shape.Length >= left.Shape.Length ? right.Shape : left.Shape;
        if (Count(shape) != Math.Max(first.Length, second.Length))
            return null;
        var values = new float[Math.Max(first.Length, second.Length)];
        for (int i = 0; i < values.Length; i++)
        {
            double x = first[first.Length == 1 ? 0 : i], y = second[second.Length == 1 ? 0 : i];
            values[i] = (float)(node.Operation switch { "Add" => x + y, "Sub" => x - y, "Mul" => x * y, _ => x / y });
        }
        return new OnnxConstant(node.Outputs[0], shape, new TensorData(shape, values), null);
    }

    private static OnnxConstant Transpose(OnnxNode node, OnnxConstant source)
    {
        int rank = source.Shape.Length;
        int[] order = node.Integers("perm") is { Count: > 0 } given ? [.. given.Select(axis => (int)Math.Clamp(axis, -1, rank))] : [.. Enumerable.Range(0, rank).Reverse()];
        if (source.Floats is null || !order.Order().SequenceEqual(Enumerable.Range(0, rank)))
            throw new InvalidDataException($"{node} transposes a constant of shape [{string.Join(", ", source.Shape)}] in a way that is not supported");
        int[] shape = Array.ConvertAll(order, axis => source.Shape[axis]);
        // The distance in the source between neighbours along each axis of the result.
        var strides = new int[rank];
        for (int axis = rank - 1, stride = 1; axis >= 0; stride *= source.Shape[axis--])
            strides[Array.IndexOf(order, axis)] = stride;
        float[] values = source.Floats.Read();
        var transposed = new float[values.Length];
        var index = new int[rank];
        for (int i = 0, from = 0; i < transposed.Length; i++)
        {
            transposed[i] = values[from];
            for (int axis = rank - 1; axis >= 0; axis--)
            {
                from += strides[axis];
                if (++index[axis] < shape[axis])
                    break;
                from -= strides[axis] * shape[axis];
                index[axis] = 0;
            }
        }
        return new OnnxConstant(source.Name, shape, new TensorData(shape, transposed), null);
    }

    /// <summary>Gets a list of integers that is an attribute in older operator sets and the second input in newer ones; null if it is missing.</summary>
    private IReadOnlyList<long>? List(OnnxNode node, string attribute, int depth) =>
        node.Integers(attribute) ?? (node.Inputs.Count > 1 && node.Inputs[1].Length > 0 ? Find(node.Inputs[1], depth)?.Integers : null);

    private static int[]? Reshaped(OnnxConstant source, IReadOnlyList<long>? sizes)
    {
        if (sizes is null || sizes.Count(size => size == -1) > 1 || sizes.Any(size => size is < -1 or > int.MaxValue))
            return null;
        var shape = new int[sizes.Count];
        for (int i = 0; i < shape.Length; i++)
            shape[i] = sizes[i] == 0 && i < source.Shape.Length ? source.Shape[i] : (int)sizes[i];
        int free = Array.IndexOf(shape, -1);
        if (free >= 0)
        {
            shape[free] = 1;
            double known = Count(shape), all = Count(source.Shape);
            shape[free] = known > 0 && all / known <= int.MaxValue ? (int)(all / known) : 0;
        }
        return shape;
    }

    private static int[]? Flattened(int[] shape, long axis)
    {
        axis = axis < 0 ? axis + shape.Length : axis;
        return axis >= 0 && axis <= shape.Length && Count(shape) <= int.MaxValue ? [(int)Count(shape[..(int)axis]), (int)Count(shape[(int)axis..])] : null;
    }

    private static int[]? Squeezed(int[] shape, IReadOnlyList<long>? axes) =>
        [.. shape.Where((size, i) => axes is null ? size != 1 : !axes.Any(axis => axis == i || axis + shape.Length == i))];

    private static int[]? Unsqueezed(int[] shape, IReadOnlyList<long>? axes)
    {
        if (axes is null || axes.Count > 8)
            return null;
        int rank = shape.Length + axes.Count;
        var sizes = new Queue<int>(shape);
        var result = new List<int>();
        for (int i = 0; i < rank; i++)
        {
            if (axes.Any(axis => axis == i || axis + rank == i))
                result.Add(1);
            else if (!sizes.TryDequeue(out int size))
                return null;
            else
                result.Add(size);
        }
        return [.. result];
    }

    private static double Count(int[] shape) => shape.Aggregate(1.0, (product, size) => product * size);
}
