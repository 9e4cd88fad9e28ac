using System.Collections.Immutable;
using System.Runtime.InteropServices;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Reparameterization;

/// <summary>Fuses trained multi-branch weights (training form) into a plain network of 3x3 convolutions (deploy form).</summary>
/// <remarks>Source: RepVGG, section 3.3. The fused kernels and biases are computed in double precision and stored as float.</remarks>
public static class Fusion
{
    /// <summary>Fuses the branches of each block into one 3x3 convolution with bias. Squeeze-and-excitation is copied, auxiliary heads are removed.</summary>
    /// <param name="architecture">Architecture of the weights, including the epsilon of all batch norms.</param>
    /// <param name="training">Weights of the training form under the authors' names.</param>
    /// <param name="imageHeight">Input height in pixels.</param>
    /// <param name="imageWidth">Input width in pixels.</param>
    /// <param name="normalization">Normalization of the input of the deploy network.</param>
    /// <returns>The fused network.</returns>
    /// <exception cref="ArgumentException">The weights do not fit the architecture (the message lists all differences), the image is too small, a batch norm's variance plus epsilon is not positive, or the normalisation has another number of channels.</exception>
    public static DeployNetwork Fuse(RepVggArchitecture architecture, StateDict training, int imageHeight, int imageWidth, Normalization normalization)
    {
        ArgumentNullException.ThrowIfNull(architecture);
        return Fuse(architecture, training, imageHeight, imageWidth, normalization, _ => architecture.BatchNormEpsilon);
    }

    /// <summary>Fuses the branches of each block into one 3x3 convolution with bias, with a separate epsilon for each batch norm.</summary>
    /// <param name="architecture">Architecture of the weights. Its epsilon is not used.</param>
    /// <param name="training">Weights of the training form under the authors' names.</param>
    /// <param name="imageHeight">Input height in pixels.</param>
    /// <param name="imageWidth">Input width in pixels.</param>
    /// <param name="normalization">Normalization of the input of the deploy network.</param>
    /// <param name="epsilonOf">Returns the epsilon of the batch norm with a given name, e.g. <c>stage1.0.rbr_dense.bn</c>.</param>
    /// <returns>The fused network.</returns>
    /// <exception cref="ArgumentException">The weights do not fit the architecture (the message lists all differences), the image is too small, a batch norm's variance plus epsilon is not positive, or the normalisation has another number of channels.</exception>
    internal static DeployNetwork Fuse(RepVggArchitecture architecture, StateDict training, int imageHeight, int imageWidth, Normalization normalization, Func<string, double> epsilonOf)
    {
        architecture.Validate();
        int classes = StateLayout.ClassesOf(training);
        StateLayout.Check(
            training,
            [.. StateLayout.Training(architecture, classes).Where(entry => !DeployStates.IsAuxiliary(entry.Name))],
            $"the training form of {architecture.Name} with {classes} classes",
            DeployStates.IsAuxiliary);
        DeployStates.CheckInput(architecture, imageHeight, imageWidth, normalization);

        var blocks = ImmutableArray.CreateBuilder<DeployBlock>();
        foreach (var shape in architecture.Blocks)
        {
            var (kernel, bias) = FuseBlock(shape, training, epsilonOf);
            var (squeeze, excite) = DeployStates.SqueezeExcitationOf(shape, training);
            blocks.Add(new DeployBlock(
                shape, ImmutableCollectionsMarshal.AsImmutableArray(kernel), ImmutableCollectionsMarshal.AsImmutableArray(bias), squeeze, excite));
        }
        return new DeployNetwork(
            architecture, imageHeight, imageWidth, normalization, blocks.ToImmutable(), DeployStates.LinearOf("linear", architecture.FeatureWidth, classes, training));
    }

    /// <summary>Computes the equivalent 3x3 kernel (OIHW) and bias of the branches of one block.</summary>
    private static (float[] Kernel, float[] Bias) FuseBlock(BlockSpec shape, StateDict training, Func<string, double> epsilonOf)
    {
        float[] kernel = training[$"{shape.Name}.rbr_dense.conv.weight"].ToArray();
        var sum = Branch(kernel, 3, "rbr_dense").Plus(Branch(training[$"{shape.Name}.rbr_1x1.conv.weight"].Read(), 1, "rbr_1x1"));
        if (shape.HasIdentity)
            sum = sum.Plus(LinearBranch.Identity(shape.InputChannels).Then(Norm($"{shape.Name}.rbr_identity")));
        // The result replaces the 3x3 branch's kernel in the same array, so that a large network needs no second copy.
        sum.ReadKernel(kernel);
        return (kernel, sum.Bias.ToArray());

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
