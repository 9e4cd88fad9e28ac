using RepVgg.Architectures;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Reparameterization;

/// <summary>Fuses trained multi-branch weights (training form) into the weights of a plain network of 3x3 convolutions (deploy form).</summary>
/// <remarks>
/// Source: RepVGG, section 3.3; for other training forms than RepVGG's, their publications, see <see cref="TrainingForm"/>. The fused kernels and
/// biases are computed in double precision and stored as float.
/// </remarks>
public static class Fusion
{
    /// <summary>Whether networks of a training form can be fused: all except <see cref="TrainingForm.ReluInBranches"/> and <see cref="TrainingForm.ResidualReorg"/>, which are not linear between their ReLUs or not a chain.</summary>
    /// <param name="form">The training form.</param>
    /// <returns>True if <see cref="Fuse(RepVggArchitecture, StateDict)"/> supports the form.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="form"/> is not a value of <see cref="TrainingForm"/>.</exception>
    public static bool CanFuse(TrainingForm form) => Enum.IsDefined(form)
        ? TrainingForms.FusionObstacleOf(form) is null
        : throw new ArgumentOutOfRangeException(nameof(form), form, "This is not a value of TrainingForm.");

    /// <summary>Fuses the branches of each block into one 3x3 convolution with bias. Squeeze-and-excitation and the classifier are copied, auxiliary heads are removed.</summary>
    /// <param name="architecture">Architecture of the weights, including the epsilon of all batch norms.</param>
    /// <param name="training">Weights of the training form under the authors' names.</param>
    /// <returns>New weights of the deploy form under the authors' names.</returns>
    /// <exception cref="ArgumentException">The weights do not fit the architecture (the message names the first differences), or a batch norm's variance plus epsilon is not positive.</exception>
    /// <exception cref="OverflowException">A fused kernel or bias is too large for 32-bit floats.</exception>
    /// <exception cref="NotSupportedException">The training form cannot be fused: <see cref="TrainingForm.ReluInBranches"/> and <see cref="TrainingForm.ResidualReorg"/>.</exception>
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
    /// <exception cref="NotSupportedException">The training form cannot be fused.</exception>
    internal static StateDict Fuse(RepVggArchitecture architecture, StateDict training, Func<string, double> epsilonOf)
    {
        architecture.Validate();
        RequireFusable(architecture);
        int classes = StateLayout.ClassesOf(training);
        StateLayout.Check(
            training,
            [.. StateLayout.Training(architecture, classes).Where(entry => !StateLayout.IsAuxiliary(entry.Name))],
            $"the training form {architecture.TrainingForm} of {architecture.Name} {StateLayout.WithClasses(classes)}",
            StateLayout.IsAuxiliary,
            () => StateInference.OtherFormThan(architecture.TrainingForm, training));

        var blocks = architecture.Blocks.ToDictionary(block => $"{block.Name}.rbr_reparam.weight");
        var trainingNames = StateLayout.SqueezeExcitationNames(architecture);
        var deploy = new StateDict();
        foreach (var entry in StateLayout.Deploy(architecture, classes))
        {
            // The bias of a block is added with its kernel. All other tensors have the same name in both forms, except those of MobileOne's squeeze-and-excitation.
            if (blocks.TryGetValue(entry.Name, out var block))
                (deploy[entry.Name], deploy[$"{block.Name}.rbr_reparam.bias"]) = FuseBlock(block, training, epsilonOf);
            else if (training.TryGet(trainingNames.GetValueOrDefault(entry.Name, entry.Name), out var tensor))
                deploy[entry.Name] = new TensorData(entry.Shape, tensor.ToArray());
        }
        return deploy;
    }

    /// <summary>Throws an exception if the training form of an architecture cannot be fused.</summary>
    /// <exception cref="NotSupportedException">The form cannot be fused; the message states why.</exception>
    internal static void RequireFusable(RepVggArchitecture architecture)
    {
        if (TrainingForms.FusionObstacleOf(architecture.TrainingForm) is { } obstacle)
        {
            throw new NotSupportedException(
                $"Networks of the training form {architecture.TrainingForm} have no deploy form, so they cannot be fused, exported or saved as a model: {obstacle}. "
                + "Such a network can be trained and evaluated in its training form, for comparison with other forms.");
        }
    }

    /// <summary>Computes the equivalent 3x3 kernel (OIHW) and bias of the branches of one block.</summary>
    private static (TensorData Kernel, TensorData Bias) FuseBlock(BlockSpec block, StateDict training, Func<string, double> epsilonOf)
    {
        // The result replaces the first 3x3 kernel in the same array, so that a large network needs no second copy.
        var first = block.Branches.FirstOrDefault(branch => branch is { Kind: BranchKind.Convolution, KernelHeight: 3, KernelWidth: 3, First: null });
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

    /// <summary>Describes the sum of the branches of a block, and the batch norm of the sum if the form has one, as one linear map.</summary>
    /// <param name="block">The block, whose form can be fused.</param>
    /// <param name="stride">Stride of the convolutions.</param>
    /// <param name="read">Returns the values of a tensor by its name within the block, e.g. <c>rbr_dense.conv.weight</c>.</param>
    /// <param name="epsilonOf">Returns the epsilon of a batch norm by its name within the block, e.g. <c>rbr_dense.bn</c>.</param>
    /// <exception cref="ArgumentException">A batch norm's variance plus epsilon is not positive.</exception>
    internal static LinearBranch Sum(BlockSpec block, int stride, Func<string, float[]> read, Func<string, double> epsilonOf)
    {
        var sum = block.Branches.Select(Branch).Aggregate((sum, branch) => sum.Plus(branch));
        return TrainingForms.SumNormOf(block.Form) is { } sumNorm ? sum.Then(Norm(sumNorm)) : sum;

        LinearBranch Branch(BranchSpec branch)
        {
            int inputs = branch.First?.Channels ?? block.InputChannels;
            float[]? values = branch.KernelName is { } kernel ? read($"{kernel}.weight") : null;
            var map = branch.Kind switch
            {
                BranchKind.Identity => LinearBranch.Identity(block.InputChannels),
                BranchKind.Average => LinearBranch.Average(inputs, stride),
                BranchKind.Delta => LinearBranch.Delta(block.InputChannels, block.OutputChannels, stride, block.Groups),
                _ => LinearBranch.Convolution(new TensorData(values!), inputs, block.OutputChannels, branch.KernelHeight, branch.KernelWidth, stride, block.Groups, top: block.PaddingTop, left: block.PaddingLeft, dilation: block.Dilation),
            };
            if (branch.NormalizesFilters)
                map = map.Then(InverseFilterNorms(values!, block.OutputChannels), new double[block.OutputChannels]);
            if (branch.Scale is { } scale)
                map = map.Then([.. read(scale.Name).Select(value => (double)value)], new double[block.OutputChannels]);
            if (branch.First is { } first)
                map = First(first).Then(map);
            return branch.NormName is { } norm ? map.Then(Norm(norm)) : map;
        }

        LinearBranch First(FirstLayerSpec first)
        {
            var map = LinearBranch.Convolution(new TensorData(read($"{first.KernelName}.weight")), block.InputChannels, first.Channels, first.Size, first.Size, 1, block.Groups);
            if (first.AddsInput)
                map = map.Plus(LinearBranch.Identity(block.InputChannels));
            return map.Then(Norm(first.NormName));
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

    /// <summary>Computes 1 / max(L2 norm, <see cref="BranchSpec.SmallestFilterNorm"/>) of every filter.</summary>
    private static double[] InverseFilterNorms(float[] kernel, int filters)
    {
        int length = kernel.Length / filters;
        var factors = new double[filters];
        for (int o = 0; o < filters; o++)
        {
            double squares = 0;
            foreach (float value in kernel.AsSpan(o * length, length))
                squares += (double)value * value;
            factors[o] = 1 / Math.Max(Math.Sqrt(squares), BranchSpec.SmallestFilterNorm);
        }
        return factors;
    }
}
