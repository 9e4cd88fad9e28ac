using RepVgg.Architectures;
using RepVgg.Runtime;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Networks;

/// <summary>Random initial weights, with the same distributions as in the original PyTorch code.</summary>
/// <remarks>
/// Convolutions and linear layers: weights and biases uniform in +-1 / sqrt(fan-in), which is the
/// default of PyTorch (Kaiming uniform with a = sqrt(5)). Batch norms: weight 1, bias 0, running mean 0, running variance 1.
/// Scales of branches, and kernels that are added to the identity, have the constant values of their training form.
/// </remarks>
internal static class Initialization
{
    /// <summary>Draws the weights of the training form.</summary>
    public static StateDict Draw(RepVggArchitecture architecture, int classes, ulong seed)
    {
        var state = new StateDict();
        foreach (var entry in StateLayout.Training(architecture, classes))
            state[entry.Name] = Draw(entry, seed);
        return state;
    }

    /// <summary>Draws one tensor.</summary>
    public static TensorData Draw(StateEntry entry, ulong seed)
    {
        // Every tensor has its own random stream, seeded by its name, so that a change of one layer does not change the
        // weights of other layers.
        var random = new RandomStream(seed ^ HashName(entry.Name));
        var tensor = TensorData.Zeros(entry.Shape);
        switch (entry.Kind)
        {
            case var _ when entry.Initial is { } initial:
                Array.Fill(tensor.Values, initial);
                break;
            case StateKind.ConvWeight or StateKind.ConvBias or StateKind.LinearWeight or StateKind.LinearBias:
                double bound = 1 / Math.Sqrt(entry.FanIn);
                foreach (ref float value in tensor.Values.AsSpan())
                    value = (float)((random.NextDouble() * 2 - 1) * bound);
                break;
            case StateKind.NormWeight or StateKind.RunningVariance:
                Array.Fill(tensor.Values, 1f);
                break;
        }
        return tensor;
    }

    /// <summary>64-bit FNV-1a hash.</summary>
    private static ulong HashName(string name)
    {
        ulong hash = 14695981039346656037;
        foreach (char c in name)
            hash = (hash ^ c) * 1099511628211;
        return hash;
    }
}
