using System.Collections.Immutable;
using System.Runtime.InteropServices;
using RepVgg.Architectures;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Networks;

/// <summary>Converts between deploy networks and weights under the RepVGG authors' names, such as <c>stage1.0.rbr_reparam.weight</c>.</summary>
public static class DeployStates
{
    /// <summary>Creates a deploy network from weights of the deploy form.</summary>
    /// <param name="architecture">The architecture of the weights.</param>
    /// <param name="deploy">Weights of the deploy form under the authors' names; auxiliary heads in it are ignored.</param>
    /// <param name="imageHeight">Input height in pixels.</param>
    /// <param name="imageWidth">Input width in pixels.</param>
    /// <param name="normalization">Normalisation of the input, per channel.</param>
    /// <returns>The network.</returns>
    /// <exception cref="ArgumentException">The weights do not fit the architecture (all differences are listed), the image is too small, or the normalisation has another number of channels.</exception>
    public static DeployNetwork Import(RepVggArchitecture architecture, StateDict deploy, int imageHeight, int imageWidth, Normalization normalization)
    {
        architecture.Validate();
        int classes = StateLayout.ClassesOf(deploy);
        StateLayout.Check(deploy, StateLayout.Deploy(architecture, classes), $"the deploy form of {architecture.Name} with {classes} classes", IsAuxiliary);
        CheckInput(architecture, imageHeight, imageWidth, normalization);

        var blocks = ImmutableArray.CreateBuilder<DeployBlock>();
        foreach (var shape in architecture.Blocks)
        {
            var (squeeze, excite) = SqueezeExcitationOf(shape, deploy);
            blocks.Add(new DeployBlock(
                shape, Take($"{shape.Name}.rbr_reparam.weight", deploy), Take($"{shape.Name}.rbr_reparam.bias", deploy), squeeze, excite));
        }
        return new DeployNetwork(
            architecture, imageHeight, imageWidth, normalization, blocks.ToImmutable(), LinearOf("linear", architecture.FeatureWidth, classes, deploy));
    }

    /// <summary>Returns the weights of a deploy network under the authors' names. The normalisation is not included.</summary>
    /// <param name="network">The network.</param>
    /// <returns>Copies of the weights.</returns>
    /// <exception cref="ArgumentException">The network returns features; it has no classifier, which the authors' format requires.</exception>
    public static StateDict Export(DeployNetwork network)
    {
        ArgumentNullException.ThrowIfNull(network);
        if (network.Output != NetworkOutput.Logits)
            throw new ArgumentException($"{network.Architecture.Name} returns features and has no classifier; the authors' weight format requires one.", nameof(network));
        var sources = new Dictionary<string, ImmutableArray<float>>(StringComparer.Ordinal);
        foreach (var block in network.Blocks)
        {
            sources[$"{block.Shape.Name}.rbr_reparam.weight"] = block.Kernel;
            sources[$"{block.Shape.Name}.rbr_reparam.bias"] = block.Bias;
            if (block.Shape.SqueezeExcitationName is { } name)
            {
                sources[$"{name}.down.weight"] = block.Squeeze!.Weight;
                sources[$"{name}.down.bias"] = block.Squeeze.Bias;
                sources[$"{name}.up.weight"] = block.Excite!.Weight;
                sources[$"{name}.up.bias"] = block.Excite.Bias;
            }
        }
        sources["linear.weight"] = network.Classifier.Weight;
        sources["linear.bias"] = network.Classifier.Bias;

        var state = new StateDict();
        foreach (var entry in StateLayout.Deploy(network.Architecture, network.Classes))
            state[entry.Name] = new TensorData(entry.Shape, [.. sources[entry.Name]]);
        return state;
    }

    /// <summary>Whether a name belongs to an auxiliary head, which the deploy form does not use.</summary>
    internal static bool IsAuxiliary(string name)
    {
        int dot = name.IndexOf('.');
        return dot > 0 && name.AsSpan(0, dot).EndsWith(StateLayout.AuxiliarySuffix, StringComparison.Ordinal);
    }

    internal static void CheckInput(RepVggArchitecture architecture, int imageHeight, int imageWidth, Normalization normalization)
    {
        ArgumentNullException.ThrowIfNull(normalization);
        architecture.ValidateImageSize(imageHeight, imageWidth);
        if (normalization.Mean.IsDefault || normalization.Scale.IsDefault
            || normalization.Mean.Length != architecture.InputChannels || normalization.Scale.Length != architecture.InputChannels)
        {
            throw new ArgumentException(
                $"The normalisation needs {architecture.InputChannels} means and scales, one per input channel of {architecture.Name}.", nameof(normalization));
        }
        if (!normalization.Mean.All(float.IsFinite) || !normalization.Scale.All(float.IsFinite))
            throw new ArgumentException("The normalisation's means and scales must be finite numbers.", nameof(normalization));
    }

    internal static (LinearWeights? Squeeze, LinearWeights? Excite) SqueezeExcitationOf(BlockSpec shape, StateDict state) =>
        shape.SqueezeExcitationName is { } name
            ? (LinearOf($"{name}.down", shape.OutputChannels, shape.SqueezeWidth, state), LinearOf($"{name}.up", shape.SqueezeWidth, shape.OutputChannels, state))
            : (null, null);

    internal static LinearWeights LinearOf(string name, int inputs, int outputs, StateDict state) =>
        new(inputs, outputs, Take($"{name}.weight", state), Take($"{name}.bias", state));

    private static ImmutableArray<float> Take(string name, StateDict state) => ImmutableCollectionsMarshal.AsImmutableArray(state[name].ToArray());
}
