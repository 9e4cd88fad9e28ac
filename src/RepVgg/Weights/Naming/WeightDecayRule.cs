namespace RepVgg.Weights.Naming;

/// <summary>Determines the parameters to which weight decay applies, by the rule of the RepVGG authors.</summary>
/// <remarks>Source: the authors' training recipe: no decay on biases and other one-dimensional parameters, except the weight of the identity branch's batch norm.</remarks>
internal static class WeightDecayRule
{
    /// <summary>Whether weight decay applies to a parameter.</summary>
    /// <param name="name">Full name of the parameter, e.g. <c>stage1.0.rbr_dense.conv.weight</c>.</param>
    /// <param name="shape">Dimensions of the parameter.</param>
    /// <returns>True for kernels, linear weights and weights of identity batch norms.</returns>
    public static bool Applies(string name, IReadOnlyList<int> shape)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(shape);
        if (name.Contains("identity.weight", StringComparison.Ordinal))
            return true;
        return shape.Count != 1 && !name.EndsWith(".bias", StringComparison.Ordinal);
    }

    /// <summary>Whether a parameter is a kernel to which the authors' custom L2 penalty applies instead of weight decay.</summary>
    internal static bool IsBlockKernel(string name) =>
        name.EndsWith(".rbr_dense.conv.weight", StringComparison.Ordinal) || name.EndsWith(".rbr_1x1.conv.weight", StringComparison.Ordinal);
}
