using RepVgg.Backends;

namespace RepVgg.TorchSharp;

/// <summary>Checks the shapes of operands. Each check throws an exception whose message contains the given and the required shape.</summary>
internal static class OperationShapes
{
    public static void Positive(ReadOnlySpan<int> shape)
    {
        foreach (int dimension in shape)
        {
            if (dimension <= 0)
                throw new ArgumentException($"Dimensions must be positive, but the shape is {Text(shape.ToArray())}.", nameof(shape));
        }
    }

    public static void Convolution(IReadOnlyList<int> input, IReadOnlyList<int> kernel, IReadOnlyList<int>? bias, int stride, int padding, int groups)
    {
        if (stride < 1 || padding < 0 || groups < 1)
            throw new ArgumentException($"A convolution needs stride >= 1, padding >= 0 and groups >= 1; stride {stride}, padding {padding}, groups {groups} were given.");
        if (kernel.Count != 4)
            throw new ArgumentException($"A convolution's kernel is of shape OIHW, not {Text(kernel)}.", nameof(kernel));
        if (input[1] % groups != 0 || kernel[0] % groups != 0 || kernel[1] != input[1] / groups)
            throw new ArgumentException($"A kernel {Text(kernel)} with {groups} group(s) does not fit an input {Text(input)}.", nameof(kernel));
        if (input[2] + 2 * padding < kernel[2] || input[3] + 2 * padding < kernel[3])
            throw new ArgumentException($"The kernel {Text(kernel)} is larger than the padded input {Text(input)}.", nameof(kernel));
        if (bias is not null && (bias.Count != 1 || bias[0] != kernel[0]))
            throw new ArgumentException($"The bias needs {kernel[0]} values, but its shape is {Text(bias)}.", nameof(bias));
    }

    public static void BatchNorm(IReadOnlyList<int> input, BatchNormState state, bool training)
    {
        ArgumentNullException.ThrowIfNull(state);
        if (input.Count is not (2 or 4))
            throw new ArgumentException($"Batch normalisation needs [N, C] or [N, C, H, W], not {Text(input)}.", nameof(input));
        foreach (var tensor in (ReadOnlySpan<Tensor>)[state.Weight, state.Bias, state.RunningMean, state.RunningVariance])
        {
            if (tensor.Shape.Count != 1 || tensor.Shape[0] != input[1])
                throw new ArgumentException($"Batch normalisation of {Text(input)} needs vectors of {input[1]} values, not {Text(tensor.Shape)}.", nameof(state));
        }
        if (training && (input.Count == 2 ? input[0] : (long)input[0] * input[2] * input[3]) < 2)
            throw new InvalidOperationException($"Batch statistics of {Text(input)} need more than one value per channel: use a larger batch.");
    }

    public static void Equal(IReadOnlyList<int> left, IReadOnlyList<int> right)
    {
        if (!left.SequenceEqual(right))
            throw new ArgumentException($"Only equal shapes can be added: {Text(left)} and {Text(right)}.", nameof(right));
    }

    public static void ScaleChannels(IReadOnlyList<int> map, IReadOnlyList<int> scale)
    {
        if (!scale.SequenceEqual([map[0], map[1], 1, 1]))
            throw new ArgumentException($"{Text(map)} needs a scale [{map[0]}, {map[1]}, 1, 1], not {Text(scale)}.", nameof(scale));
    }

    public static void Linear(IReadOnlyList<int> input, IReadOnlyList<int> weight, IReadOnlyList<int> bias)
    {
        bool isVector = input.Count == 2 || (input.Count == 4 && input[2] == 1 && input[3] == 1);
        if (weight.Count != 2 || !isVector || input[1] != weight[1])
            throw new ArgumentException($"A linear layer {Text(weight)} does not fit an input {Text(input)}.", nameof(input));
        if (bias.Count != 1 || bias[0] != weight[0])
            throw new ArgumentException($"The bias needs {weight[0]} values, but its shape is {Text(bias)}.", nameof(bias));
    }

    public static void CrossEntropy(IReadOnlyList<int> logits, ReadOnlySpan<int> labels, float labelSmoothing)
    {
        if (logits.Count != 2 || logits[0] != labels.Length)
            throw new ArgumentException($"{labels.Length} labels do not fit logits {Text(logits)}.", nameof(labels));
        if (labelSmoothing is not (>= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(labelSmoothing), labelSmoothing, "Label smoothing must be between 0 and 1.");
        for (int i = 0; i < labels.Length; i++)
        {
            if ((uint)labels[i] >= (uint)logits[1])
                throw new ArgumentOutOfRangeException(nameof(labels), labels[i], $"Label {i} is not one of the {logits[1]} classes.");
        }
    }

    private static string Text(IReadOnlyList<int> shape) => $"[{string.Join(", ", shape)}]";
}
