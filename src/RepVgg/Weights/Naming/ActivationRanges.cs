namespace RepVgg.Weights.Naming;

/// <summary>The names of the ranges that quantization-aware training measures and stores beside the weights: tensors of two values, the smallest and the largest one of an activation.</summary>
internal static class ActivationRanges
{
    /// <summary>The range of the normalised input of the network.</summary>
    public const string Input = "input_range";

    /// <summary>The range of the pooled features.</summary>
    public const string Pooled = "pooled_range";

    private const string OutputSuffix = ".output_range", BeforeSqueezeSuffix = ".convolution_range";

    /// <summary>The range of the output of a block.</summary>
    public static string Output(string block) => block + OutputSuffix;

    /// <summary>The range of the result of a block's convolution, in front of its squeeze-and-excitation.</summary>
    public static string BeforeSqueeze(string block) => block + BeforeSqueezeSuffix;

    /// <summary>Whether a tensor is a range and not a weight.</summary>
    public static bool IsRange(string name) =>
        name is Input or Pooled || name.EndsWith(OutputSuffix, StringComparison.Ordinal) || name.EndsWith(BeforeSqueezeSuffix, StringComparison.Ordinal);

    /// <summary>The weights without the ranges, for other libraries.</summary>
    public static StateDict Remove(StateDict state)
    {
        var weights = new StateDict();
        foreach (var (name, tensor) in state)
        {
            if (!IsRange(name))
                weights[name] = tensor;
        }
        return weights;
    }

    /// <summary>Describes the tensor of a range.</summary>
    public static StateEntry Entry(string name) => new(name, [2], StateKind.ActivationRange) { Initial = 0 };
}
