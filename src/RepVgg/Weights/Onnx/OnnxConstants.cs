namespace RepVgg.Weights.Onnx;

/// <summary>The constants of an ONNX graph: initializers, Constant operations, and what simple operations compute from them.</summary>
/// <param name="constants">The initializers and the tensors of Constant operations.</param>
/// <param name="producers">The operations by the names of their outputs.</param>
/// <param name="resolve">Gets the name of a value before operations that change nothing.</param>
/// <param name="budget">Limits the values that operations compute.</param>
internal sealed class OnnxConstants(Dictionary<string, OnnxConstant> constants, Dictionary<string, OnnxNode> producers, Func<string, string> resolve, OnnxBudget budget)
{
    /// <summary>Maximum number of integers in a list of axes, sizes or paddings.</summary>
    public const int MaximumList = 64;

    private const int MaximumRank = 8;

    // The results of operations; null for values that are not constant, and for those that are being computed.
    private readonly Dictionary<string, OnnxConstant?> _folded = new(StringComparer.Ordinal);

    /// <summary>An operation whose inputs are being computed.</summary>
    private sealed record Pending(string Name, OnnxNode Node)
    {
        /// <summary>The inputs that are known: null for an input that is left out.</summary>
        public List<OnnxConstant?> Inputs { get; } = new(Node.Inputs.Count);
    }

    /// <summary>Gets a constant, or null if the value of this name is not constant.</summary>
    /// <exception cref="InvalidDataException">An operation cannot have these constants as inputs, or its result exceeds the budget.</exception>
    public OnnxConstant? Find(string name)
    {
        name = resolve(name);
        if (TryGet(name, out var found))
            return found;
        // Not a recursion, because operations can follow each other without end.
        var pending = new Stack<Pending>([Start(name)]);
        while (pending.TryPeek(out var next))
        {
            if (next.Inputs.Count == next.Node.Inputs.Count)
            {
                _folded[pending.Pop().Name] = Checked(next.Node, Fold(next.Node, next.Inputs));
                continue;
            }
            string input = next.Node.Inputs[next.Inputs.Count];
            if (input.Length == 0)
                next.Inputs.Add(null);
            else if (!TryGet(input = resolve(input), out var constant))
                pending.Push(Start(input));
            else if (constant is not null)
                next.Inputs.Add(constant);
            else
                pending.Pop(); // an input is not constant
        }
        return _folded[name];
    }

    /// <summary>Gets a constant if it is known whether the value is constant. A value that is being computed depends on itself, so that it is none.</summary>
    private bool TryGet(string name, out OnnxConstant? constant) => constants.TryGetValue(name, out constant) || _folded.TryGetValue(name, out constant)
        || !producers.TryGetValue(name, out var node) || !IsFolded(node);

    private Pending Start(string name)
    {
        _folded[name] = null;
        return new Pending(name, producers[name]);
    }

    private static bool IsFolded(OnnxNode node) => node.Operation is
        "Add" or "Sub" or "Mul" or "Div" or "Cast" or "Transpose" or "Reshape" or "Flatten" or "Squeeze" or "Unsqueeze" or "Shape" or "ConstantOfShape" or "Concat" or "Gather" or "Slice";

    /// <summary>Checks the rank of a result, which operations such as Unsqueeze can increase without end.</summary>
    private static OnnxConstant? Checked(OnnxNode node, OnnxConstant? result) => result is null || result.Shape.Length <= MaximumRank ? result
        : throw new InvalidDataException($"{node} computes a constant of {result.Shape.Length} dimensions, of at most {MaximumRank}");

    private OnnxConstant? Fold(OnnxNode node, List<OnnxConstant?> inputs)
    {
        if (inputs is not [{ } source, ..])
            return null;
        var second = inputs.Count > 1 ? inputs[1] : null;
        return node.Operation switch
        {
            "Cast" => Cast(node, source),
            "Transpose" => Transpose(node, source),
            "Reshape" => Shaped(node, source, Reshaped(source, List(node, "shape", second))),
            "Flatten" => Shaped(node, source, Flattened(source.Shape, node.Integer("axis", 1))),
            "Squeeze" => Squeezed(node, source, second),
            "Unsqueeze" => Shaped(node, source, Unsqueezed(source.Shape, List(node, "axes", second))),
            "Shape" => node.Attributes.Count > 0 ? null : new OnnxConstant(node.Outputs[0], [source.Shape.Length], null, Array.ConvertAll(source.Shape, size => (long)size)),
            "ConstantOfShape" => Repeated(node, source),
            "Concat" => Concatenate(node, inputs),
            "Gather" => second is null ? null : Gather(node, source, second),
            "Slice" => Slice(node, source, inputs),
            _ => second is null || inputs.Count != 2 ? null : Arithmetic(node, source, second),
        };
    }

    private static OnnxConstant Shaped(OnnxNode node, OnnxConstant source, int[]? shape)
    {
        if (shape is null || Count(shape) != Count(source.Shape))
            throw new InvalidDataException($"{node} gives a constant of shape [{string.Join(", ", source.Shape)}] a shape that it cannot have");
        return source with { Shape = shape, Floats = source.Floats?.Reshaped(shape) };
    }

    /// <summary>Converts the type of a constant. The 32-bit values of a constant of 64 bits remain as they are.</summary>
    private OnnxConstant? Cast(OnnxNode node, OnnxConstant source)
    {
        long type = node.Integer("to", 0);
        bool isChanged = source.Floats is null ? OnnxSchema.Tensor.IsFloat(type) : OnnxSchema.Tensor.IsNarrow(type) || !OnnxSchema.Tensor.IsFloat(type);
        if (isChanged)
            budget.Take(2 * Count(source.Shape), node);
        if (type is OnnxSchema.Tensor.Int64 or OnnxSchema.Tensor.Int32)
            return source.Floats is { } floats ? source with { Floats = null, Integers = Array.ConvertAll(floats.Read(), value => (long)value) } : source;
        if (!OnnxSchema.Tensor.IsFloat(type))
            return null;
        if (source.Integers is { } integers)
            source = source with { Floats = new TensorData(source.Shape, Array.ConvertAll(integers, value => (float)value)), Integers = null };
        return source.Floats is null || !OnnxSchema.Tensor.IsNarrow(type) ? source
            : source with { Floats = new TensorData(source.Shape, Array.ConvertAll(source.Floats.Read(), value => type == OnnxSchema.Tensor.Float16 ? (float)(Half)value : Rounded(value))) };

        // To 16 bits, to the nearest and then to even.
        static float Rounded(float value)
        {
            uint bits = BitConverter.SingleToUInt32Bits(value);
            return float.IsFinite(value) ? BitConverter.UInt32BitsToSingle((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000) : value;
        }
    }

    /// <summary>Computes with two constants of the same shape, or of which one is a single value; null for other shapes.</summary>
    private OnnxConstant? Arithmetic(OnnxNode node, OnnxConstant left, OnnxConstant right)
    {
        if (Count(left.Shape) != 1 && Count(right.Shape) != 1 && !left.Shape.SequenceEqual(right.Shape))
            return null;
        int[] shape = Count(left.Shape) == 1 && right.Shape.Length >= left.Shape.Length ? right.Shape : left.Shape;
        if (Count(shape) != Math.Max(Count(left.Shape), Count(right.Shape)))
            return null;
        if (left.Integers is { } integers && right.Integers is { } others)
        {
            budget.Take(2 * Count(shape), node);
            return node.Operation == "Div" && others.Contains(0) ? null : new OnnxConstant(node.Outputs[0], shape, null, Pairs(integers, others, (x, y) => node.Operation switch { "Add" => x + y, "Sub" => x - y, "Mul" => x * y, _ => y == -1 ? -x : x / y }));
        }
        if (left.Floats is null || right.Floats is null)
            return null;
        budget.Take(Count(shape), node);
        float[] values = Pairs(left.Floats.Read(), right.Floats.Read(), (first, second) =>
        {
            double x = first, y = second;
            return (float)(node.Operation switch { "Add" => x + y, "Sub" => x - y, "Mul" => x * y, _ => x / y });
        });
        return new OnnxConstant(node.Outputs[0], shape, new TensorData(shape, values), null);

        static T[] Pairs<T>(T[] first, T[] second, Func<T, T, T> compute)
        {
            var results = new T[Math.Max(first.Length, second.Length)];
            for (int i = 0; i < results.Length; i++)
                results[i] = compute(first[first.Length == 1 ? 0 : i], second[second.Length == 1 ? 0 : i]);
            return results;
        }
    }

    private OnnxConstant Transpose(OnnxNode node, OnnxConstant source)
    {
        budget.Take(WordsOf(source) * Count(source.Shape), node);
        int rank = source.Shape.Length;
        int[] order = node.Integers("perm") is { Count: > 0 } given ? [.. given.Select(axis => (int)Math.Clamp(axis, -1, rank))] : [.. Enumerable.Range(0, rank).Reverse()];
        if (!order.Order().SequenceEqual(Enumerable.Range(0, rank)))
            throw new InvalidDataException($"{node} transposes a constant of shape [{string.Join(", ", source.Shape)}] in a way that is not supported");
        int[] shape = Array.ConvertAll(order, axis => source.Shape[axis]);
        // The distance in the source between neighbours along each axis of the result.
        var strides = new int[rank];
        for (int axis = rank - 1, stride = 1; axis >= 0; stride *= source.Shape[axis--])
            strides[Array.IndexOf(order, axis)] = stride;
        return With(source, shape, Transposed, Transposed);

        T[] Transposed<T>(T[] values)
        {
            var transposed = new T[values.Length];
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
            return transposed;
        }
    }

    private OnnxConstant? Repeated(OnnxNode node, OnnxConstant sizes)
    {
        if (sizes.Integers is null or { Length: > MaximumRank } || sizes.Integers.Any(size => size is < 0 or > int.MaxValue))
            return null;
        int[] shape = Array.ConvertAll(sizes.Integers, size => (int)size);
        budget.Take(2 * Count(shape), node);
        int count = (int)Count(shape);
        if (node.Attribute("value") is not { } attribute)
            return new OnnxConstant(node.Outputs[0], shape, TensorData.Zeros(shape), null);
        return attribute.Tensor switch
        {
            { Floats: { Length: 1 } value } => new OnnxConstant(node.Outputs[0], shape, new TensorData(shape, [.. Enumerable.Repeat(value.Read()[0], count)]), null),
            { Integers: [var value] } => new OnnxConstant(node.Outputs[0], shape, null, [.. Enumerable.Repeat(value, count)]),
            _ => null,
        };
    }

    private OnnxConstant? Concatenate(OnnxNode node, List<OnnxConstant?> inputs)
    {
        var parts = inputs.OfType<OnnxConstant>().ToList();
        int[] shape = [.. parts[0].Shape];
        if (Axis(node.Integer("axis", 1), shape.Length) is not { } axis || parts.Any(part => !Fits(part)))
            return null;
        shape[axis] = 0;
        foreach (var part in parts)
            shape[axis] = (int)Math.Min((long)shape[axis] + part.Shape[axis], int.MaxValue);
        budget.Take(WordsOf(parts[0]) * Count(shape), node);
        int outer = (int)Count(shape[..axis]);
        return parts[0].Floats is not null
            ? new OnnxConstant(node.Outputs[0], shape, new TensorData(shape, Joined(parts.ConvertAll(part => part.Floats!.Read()))), null)
            : new OnnxConstant(node.Outputs[0], shape, null, Joined(parts.ConvertAll(part => part.Integers!)));

        bool Fits(OnnxConstant part) => part.Shape.Length == shape.Length && (part.Floats, part.Integers) switch
        {
            (not null, _) => parts[0].Floats is not null,
            (_, not null) => parts[0].Integers is not null,
            _ => false,
        } && part.Shape.Index().All(size => size.Index == axis || size.Item == shape[size.Index]);

        T[] Joined<T>(List<T[]> values)
        {
            var joined = new List<T>((int)Count(shape));
            for (int i = 0; i < outer; i++)
            {
                foreach (var part in values)
                    joined.AddRange(part.AsSpan(part.Length / outer * i, part.Length / outer));
            }
            return [.. joined];
        }
    }

    private OnnxConstant? Gather(OnnxNode node, OnnxConstant source, OnnxConstant indices)
    {
        if (Axis(node.Integer("axis", 0), source.Shape.Length) is not { } axis || indices.Integers is not { } positions)
            return null;
        int size = source.Shape[axis];
        budget.Take(positions.Length, node);
        if (positions.Any(position => position < -size || position >= size))
            return null;
        var taken = Take(node, source, axis, Array.ConvertAll(positions, position => (int)(position < 0 ? position + size : position)));
        return Shaped(node, taken, [.. source.Shape[..axis], .. indices.Shape, .. source.Shape[(axis + 1)..]]);
    }

    private OnnxConstant? Slice(OnnxNode node, OnnxConstant source, List<OnnxConstant?> inputs)
    {
        var starts = Numbers("starts", 1);
        var ends = Numbers("ends", 2);
        if (starts is null or { Count: > MaximumRank } || ends is null)
            return null;
        var axes = Numbers("axes", 3) ?? [.. Enumerable.Range(0, starts.Count).Select(i => (long)i)];
        var steps = Numbers("steps", 4) ?? [.. Enumerable.Repeat(1L, starts.Count)];
        if (ends.Count != starts.Count || axes.Count != starts.Count || steps.Count != starts.Count)
            return null;
        for (int i = 0; i < starts.Count; i++)
        {
            if (Axis(axes[i], source.Shape.Length) is not { } axis || steps[i] is 0 or < -int.MaxValue or > int.MaxValue)
                return null;
            int size = source.Shape[axis];
            bool forward = steps[i] > 0;
            long start = Bounded(starts[i], 0, forward ? size : size - 1), end = Bounded(ends[i], forward ? 0 : -1, forward ? size : size - 1);
            // As long as the dimension at most, which can be large although another one is 0.
            budget.Take(Math.Abs((double)end - start) / Math.Abs(steps[i]), node);
            var positions = new List<int>();
            for (long position = start; forward ? position < end : position > end; position += steps[i])
                positions.Add((int)position);
            source = Take(node, source, axis, [.. positions]);

            long Bounded(long position, long low, long high) => size == 0 ? low : Math.Clamp(position < 0 ? position + size : position, low, high);
        }
        return source;

        IReadOnlyList<long>? Numbers(string attribute, int input) => node.Integers(attribute) ?? (inputs.Count > input && inputs[input]?.Integers is { Length: <= MaximumList } values ? values : null);
    }

    /// <summary>Selects positions along one axis.</summary>
    private OnnxConstant Take(OnnxNode node, OnnxConstant source, int axis, int[] positions)
    {
        int[] shape = [.. source.Shape[..axis], positions.Length, .. source.Shape[(axis + 1)..]];
        // Both are read and written.
        budget.Take(WordsOf(source) * (Count(shape) + Count(source.Shape)), node);
        if (Count(source.Shape) == 0 || Count(shape) == 0)
            return With(source, shape, _ => [], _ => []);
        int size = source.Shape[axis], inner = (int)Count(source.Shape[(axis + 1)..]);
        return With(source, shape, Taken, Taken);

        T[] Taken<T>(T[] values)
        {
            var taken = new List<T>();
            for (int block = 0; block < values.Length; block += size * inner)
            {
                foreach (int position in positions)
                    taken.AddRange(values.AsSpan(block + position * inner, inner));
            }
            return [.. taken];
        }
    }

    private static OnnxConstant With(OnnxConstant source, int[] shape, Func<float[], float[]> floats, Func<long[], long[]> integers) => source with
    {
        Shape = shape,
        Floats = source.Floats is { } values ? new TensorData(shape, floats(values.Read())) : null,
        Integers = source.Integers is { } numbers ? integers(numbers) : null,
    };

    /// <summary>Number of 32-bit words of a value.</summary>
    private static int WordsOf(OnnxConstant constant) => constant.Integers is null ? 1 : 2;

    private static int? Axis(long axis, int rank) => axis >= -rank && axis < rank ? (int)(axis < 0 ? axis + rank : axis) : null;

    /// <summary>Gets a list of integers that is an attribute in older operator sets and the second input in newer ones; null if it is missing.</summary>
    private static IReadOnlyList<long>? List(OnnxNode node, string attribute, OnnxConstant? input) => node.Integers(attribute) ?? (input?.Integers is { Length: <= MaximumList } values ? values : null);

    private static int[]? Reshaped(OnnxConstant source, IReadOnlyList<long>? sizes)
    {
        if (sizes is null || sizes.Count > MaximumRank || sizes.Count(size => size == -1) > 1 || sizes.Any(size => size is < -1 or > int.MaxValue))
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

    private static OnnxConstant? Squeezed(OnnxNode node, OnnxConstant source, OnnxConstant? second)
    {
        var axes = List(node, "axes", second);
        if (axes is null && second is not null || axes?.Count > MaximumRank)
            return null;
        return Shaped(node, source, [.. source.Shape.Where((size, i) => axes is null ? size != 1 : !axes.Any(axis => axis == i || axis + source.Shape.Length == i))]);
    }

    private static int[]? Unsqueezed(int[] shape, IReadOnlyList<long>? axes)
    {
        if (axes is null || axes.Count > MaximumRank)
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
