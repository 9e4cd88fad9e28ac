using RepVgg.Runtime;

namespace RepVgg.Weights.Naming;

/// <summary>Checks the types of stored tensors. The weights of a network are floating-point numbers; integers are counters, or weights of a quantized network without their scales.</summary>
internal static class WeightTypes
{
    private static readonly string[] _suffixes = [".weight", ".bias", ".running_mean", ".running_var"];

    /// <summary>Whether a name is that of a weight of a layer, which all name styles have in common.</summary>
    public static bool IsWeight(string name) => Array.Exists(_suffixes, suffix => name.EndsWith(suffix, StringComparison.Ordinal));

    /// <summary>Explains why a tensor is not a weight that can be read.</summary>
    /// <param name="name">Name of the tensor.</param>
    /// <param name="type">Type of its values in the file.</param>
    /// <returns>The reason, which names the tensor, without a period at the end; null if the tensor can be read.</returns>
    public static string? Refusal(string name, ScalarType type) =>
        type is ScalarType.Float32 or ScalarType.Float16 or ScalarType.BFloat16 or ScalarType.Float64 || !IsWeight(name)
            ? null
            : $"'{MessageText.Printable(name)}' is of type {type.ToString().ToLowerInvariant()}; weights must be floating-point numbers. Save those of the network before it was quantized or converted";
}
