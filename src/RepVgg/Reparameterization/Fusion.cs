using RepVgg.Architectures;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Reparameterization;

/// <summary>Fuses trained multi-branch weights (training form) into the weights of a plain network of 3x3 convolutions (deploy form).</summary>
/// <remarks>Source: RepVGG, section 3.3. The fused kernels and biases are computed in double precision and stored as float.</remarks>
public static class Fusion
{
    /// <summary>Fuses the branches of each block into one 3x3 convolution with bias. Squeeze-and-excitation and the classifier are copied, auxiliary heads are removed.</summary>
    /// <param name="architecture">Architecture of the weights, including the epsilon of all batch norms.</param>
    /// <param name="training">Weights of the training form under the authors' names.</param>
    /// <returns>New weights of the deploy form under the authors' names.</returns>
    /// <exception cref="ArgumentException">The weights do not fit the architecture (the message lists all differences), or a batch norm's variance plus epsilon is not positive.</exception>
    public static StateDict Fuse(RepVggArchitecture architecture, StateDict training)
    {
        ArgumentNullException.ThrowIfNull(architecture);
        return Fuse(architecture, training, _ => architecture.BatchNormEpsilon);
    }

    /// <summary>Fuses the branches of each block into one 3x3 convolution with bias, with a separate epsilon for each batch norm.</summary>
    /// <param name="architecture">Architecture of the weights. Its epsilon is not used.</param>
    /// <param name="training">Weights of the training form under the authors' names.</param>
    /// <param name="epsilonOf">Returns the epsilon of the batch norm with a given name, e.g. <c>stage1.0.rbr_dense.bn</c>.</param>
    /// <returns>New weights of the deploy form under the authors' names.</returns>
    /// <exception cref="ArgumentException">The weights do not fit the architecture (the message lists all differences), or a batch norm's variance plus epsilon is not positive.</exception>
    internal static StateDict Fuse(RepVggArchitecture architecture, StateDict training, Func<string, double> epsilonOf)
    {
        architecture.Validate();
        int classes = StateLayout.ClassesOf(training);
        StateLayout.Check(
            training,
            [.. StateLayout.Training(architecture, classes).Where(entry => !StateLayout.IsAuxiliary(entry.Name))],
            $"the training form of {architecture.Name} with {classes} classes",
            StateLayout.IsAuxiliary);

        var blocks = architecture.Blocks.ToDictionary(block => $"{block.Name}.rbr_reparam.weight");
        var deploy = new StateDict();
        foreach (var entry in StateLayout.Deploy(architecture, classes))
        {
            // The bias of a block is added with its kernel. All other tensors have the same name in both forms.
            if (blocks.TryGetValue(entry.Name, out var block))
                (deploy[entry.Name], deploy[$"{block.Name}.rbr_reparam.bias"]) = FuseBlock(block, training, epsilonOf);
            else if (training.TryGet(entry.Name, out var tensor))
                deploy[entry.Name] = new TensorData(entry.Shape, tensor.ToArray());
        }
        return deploy;
    }

    /// <summary>Computes the equivalent 3x3 kernel (OIHW) and bias of the branches of one block.</summary>
    private static (TensorData Kernel, TensorData Bias) FuseBlock(BlockSpec shape, StateDict training, Func<string, double> epsilonOf)
    {
        float[] kernel = training[$"{shape.Name}.rbr_dense.conv.weight"].ToArray();
        var sum = Branch(kernel, 3, "rbr_dense").Plus(Branch(training[$"{shape.Name}.rbr_1x1.conv.weight"].Read(), 1, "rbr_1x1"));
        if (shape.HasIdentity)
            sum = sum.Plus(LinearBranch.Identity(shape.InputChannels).Then(Norm($"{shape.Name}.rbr_identity")));
        // The result replaces the 3x3 branch's kernel in the same array, so that a large network needs no second copy.
        sum.ReadKernel(kernel);
        return (new TensorData([shape.OutputChannels, sum.InputsPerGroup, 3, 3], kernel), sum.Bias);

        LinearBranch Branch(float[] values, int size, string name) => LinearBranch
            .Convolution(new TensorData(values), shape.InputChannels, shape.OutputChannels, size, size, shape.Stride, shape.Groups)
            .Then(Norm($"{shape.Name}.{name}.bn"));

        NormValues Norm(string name)
        {
            var norm = new NormValues(
                training[$"{name}.weight"].Read(), training[$"{name}.bias"].Read(),
                training[$"{name}.running_mean"].Read(), training[$"{name}.running_var"].Read(), epsilonOf(name));
            int invalid = norm.InvalidChannel;
            if (invalid >= 0)
                throw new ArgumentException($"'{name}.running_var' is {norm.Variance[invalid]} at channel {invalid}; a variance plus epsilon must be positive.", nameof(training));
            return norm;
        }
    }
}
