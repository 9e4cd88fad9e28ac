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
    /// <exception cref="ArgumentException">The weights do not fit the architecture (the message names the first differences), or a batch norm's variance plus epsilon is not positive.</exception>
    /// <exception cref="OverflowException">A fused kernel or bias is too large for 32-bit floats.</exception>
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
    /// <exception cref="ArgumentException">The weights do not fit the architecture (the message names the first differences), or a batch norm's variance plus epsilon is not positive.</exception>
    /// <exception cref="OverflowException">A fused kernel or bias is too large for 32-bit floats.</exception>
    internal static StateDict Fuse(RepVggArchitecture architecture, StateDict training, Func<string, double> epsilonOf)
    {
        architecture.Validate();
        int classes = StateLayout.ClassesOf(training);
        StateLayout.Check(
            training,
            [.. StateLayout.Training(architecture, classes).Where(entry => !StateLayout.IsAuxiliary(entry.Name))],
            $"the training form of {architecture.Name} {StateLayout.WithClasses(classes)}",
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
    private static (TensorData Kernel, TensorData Bias) FuseBlock(BlockSpec block, StateDict training, Func<string, double> epsilonOf)
    {
        // The result replaces the first 3x3 kernel in the same array, so that a large network needs no second copy.
        var first = block.Branches.FirstOrDefault(branch => branch is { Kind: BranchKind.Convolution, KernelHeight: 3, KernelWidth: 3 });
        float[]? kernel = first is null ? null : training[$"{block.Name}.{first.KernelName}.weight"].ToArray();
        var sum = Sum(block, block.Stride, name => name == $"{first?.KernelName}.weight" ? kernel! : training[$"{block.Name}.{name}"].Read(), name => epsilonOf($"{block.Name}.{name}"));
        kernel ??= new float[9 * sum.InputsPerGroup * block.OutputChannels];
        sum.ReadKernel(kernel);
        try
        {
            return (new TensorData([block.OutputChannels, sum.InputsPerGroup, 3, 3], kernel).Finite("fused kernel"), sum.Bias);
        }
        catch (InvalidDataException error)
        {
            throw new OverflowException($"The branches of {block.Name} cannot be fused: {error.Message}.", error);
        }
    }

    /// <summary>Describes the sum of the branches of a block as one linear map.</summary>
    /// <param name="block">The block.</param>
    /// <param name="stride">Stride of the convolutions.</param>
    /// <param name="read">Returns the values of a tensor by its name within the block, e.g. <c>rbr_dense.conv.weight</c>.</param>
    /// <param name="epsilonOf">Returns the epsilon of a batch norm by its name within the block, e.g. <c>rbr_dense.bn</c>.</param>
    /// <exception cref="ArgumentException">A batch norm's variance plus epsilon is not positive.</exception>
    internal static LinearBranch Sum(BlockSpec block, int stride, Func<string, float[]> read, Func<string, double> epsilonOf)
    {
        return block.Branches.Select(Branch).Aggregate((sum, branch) => sum.Plus(branch));

        LinearBranch Branch(BranchSpec branch)
        {
            var map = branch.KernelName is { } kernel
                ? LinearBranch.Convolution(new TensorData(read($"{kernel}.weight")), block.InputChannels, block.OutputChannels, branch.KernelHeight, branch.KernelWidth, stride, block.Groups)
                : LinearBranch.Identity(block.InputChannels);
            if (branch.NormName is { } norm)
                map = map.Then(Norm(norm));
            return branch.Scale == 1 ? map : map.Then([.. Enumerable.Repeat((double)branch.Scale, block.OutputChannels)], new double[block.OutputChannels]);
        }

        NormValues Norm(string name)
        {
            var norm = new NormValues(read($"{name}.weight"), read($"{name}.bias"), read($"{name}.running_mean"), read($"{name}.running_var"), epsilonOf(name));
            int invalid = norm.InvalidChannel;
            if (invalid >= 0)
                throw new ArgumentException(FormattableString.Invariant($"'{(block.Name.Length == 0 ? name : $"{block.Name}.{name}")}.running_var' is {norm.Variance[invalid]} at channel {invalid}; a variance plus epsilon must be positive."));
            return norm;
        }
    }
}
