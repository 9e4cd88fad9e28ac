using RepVgg.Weights;
using RepVgg.Weights.Naming;
using TorchSharp;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp;

/// <summary>Copies the weights of TorchSharp modules, without batch counters, to and from <see cref="StateDict"/>.</summary>
internal static class ModuleWeights
{
    /// <summary>The weights of a module under their full names.</summary>
    public static IEnumerable<(string Name, Tensor Tensor)> Of(torch.nn.Module module) => module.state_dict()
        .Where(entry => !LeftOutNames.IsNoWeight(entry.Key))
        .Select(entry => (entry.Key, entry.Value));

    /// <summary>Overwrites weights.</summary>
    /// <param name="state">The new values.</param>
    /// <param name="weights">The weights and their names in <paramref name="state"/>.</param>
    /// <param name="what">Description of the network for the message.</param>
    /// <param name="ignored">Returns true for additional names that are allowed.</param>
    /// <exception cref="ArgumentException">Tensors are missing, unexpected or of the wrong shape. No weight is changed.</exception>
    public static void Import(StateDict state, IEnumerable<(string Name, Tensor Tensor)> weights, string what, Func<string, bool> ignored)
    {
        (string Name, Tensor Tensor)[] all = [.. weights];
        StateLayout.Check(state, [.. all.Select(weight => new StateEntry(weight.Name, ShapeOf(weight.Tensor), StateKind.ConvWeight))], what, ignored);
        using var scope = torch.NewDisposeScope();
        using var mode = torch.no_grad();
        foreach (var (name, tensor) in all)
            tensor.copy_(HostCopy.ToTensor([.. state[name].Shape], state[name].Values));
    }

    /// <summary>Copies weights.</summary>
    public static StateDict Export(IEnumerable<(string Name, Tensor Tensor)> weights)
    {
        var state = new StateDict();
        foreach (var (name, tensor) in weights)
        {
            var copy = TensorData.Zeros(ShapeOf(tensor));
            HostCopy.FromTensor(tensor, copy.Values);
            state[name] = copy;
        }
        return state;
    }

    private static int[] ShapeOf(Tensor tensor) => Array.ConvertAll(tensor.shape, dimension => (int)dimension);
}
