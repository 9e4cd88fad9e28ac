using RepVgg.Architectures;
using RepVgg.Data;
using RepVgg.Formats;

namespace RepVgg.Networks;

/// <summary>Fresh weights, drawn as the original PyTorch code draws them, from one seed.</summary>
/// <remarks>
/// Convolutions and linear layers: uniform within 1 / sqrt(fan-in), weights and biases alike, which is PyTorch's
/// default (Kaiming uniform with a = sqrt(5)); batch norms: weight 1, bias 0, running mean 0, running variance 1.
/// </remarks>
internal static class Initialization
{
    /// <summary>Draws the training form's weights.</summary>
    public static StateDict Draw(RepVggArchitecture architecture, int classes, ulong seed)
    {
        var state = new StateDict();
        foreach (var entry in StateLayout.Training(architecture, classes))
        {
            // Every tensor has its own stream, named by its name: a change in one layer leaves the others' weights alone.
            var random = new RandomStream(seed ^ HashName(entry.Name));
            var tensor = TensorData.Zeros(entry.Shape);
            switch (entry.Kind)
            {
                case StateKind.ConvWeight or StateKind.ConvBias or StateKind.LinearWeight or StateKind.LinearBias:
                    double bound = 1 / Math.Sqrt(entry.FanIn);
                    foreach (ref float value in tensor.Values.AsSpan())
                        value = (float)((random.NextDouble() * 2 - 1) * bound);
                    break;
                case StateKind.NormWeight or StateKind.RunningVariance:
                    Array.Fill(tensor.Values, 1f);
                    break;
            }
            state[entry.Name] = tensor;
        }
        return state;
    }

    /// <summary>64-bit FNV-1a.</summary>
    private static ulong HashName(string name)
    {
        ulong hash = 14695981039346656037;
        foreach (char c in name)
            hash = (hash ^ c) * 1099511628211;
        return hash;
    }
}
