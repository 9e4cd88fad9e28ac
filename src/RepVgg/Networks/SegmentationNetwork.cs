using System.Collections.Immutable;
using RepVgg.Architectures;
using RepVgg.Reparameterization;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Networks;

/// <summary>A PSPNet in deploy form: the fused blocks of the backbone, and the heads' convolutions with their batch norms folded in. The data is immutable.</summary>
/// <remarks>The input is NCHW with raw pixel values (usually 0..255), to which the normalisation of the backbone is applied first. See <see cref="PspNetArchitecture"/>.</remarks>
/// <param name="Architecture">The architecture of the network.</param>
/// <param name="Backbone">The backbone, which returns the map of its last stage.</param>
/// <param name="Branches">For each grid of averages, the 1x1 convolution that reduces it, followed by ReLU.</param>
/// <param name="Head">The 3x3 convolution of the concatenated maps with bias, followed by ReLU.</param>
/// <param name="Classifier">The 1x1 convolution that gives the logits.</param>
public sealed record SegmentationNetwork(PspNetArchitecture Architecture, DeployNetwork Backbone, ImmutableArray<LinearWeights> Branches, DeployBlock Head, LinearWeights Classifier)
{
    /// <summary>Number of classes.</summary>
    public int Classes => Architecture.Classes;

    /// <summary>Height of the images and of the masks, in pixels.</summary>
    public int ImageHeight => Backbone.ImageHeight;

    /// <summary>Width of the images and of the masks, in pixels.</summary>
    public int ImageWidth => Backbone.ImageWidth;

    /// <summary>Normalization of the input, per channel.</summary>
    public Normalization Normalization => Backbone.Normalization;

    /// <summary>Checks that the parts of the network fit together, and that the weights of the heads are finite.</summary>
    /// <exception cref="ArgumentException">The message says which part does not.</exception>
    internal void Check()
    {
        Architecture.Validate();
        Architecture.ValidateImageSize(ImageHeight, ImageWidth);
        int features = Architecture.Backbone.FeatureWidth, branch = Architecture.ActualBranchWidth;
        Require(Backbone.Architecture == Architecture.Backbone && Backbone.Blocks.Select(block => block.Shape).SequenceEqual(Architecture.Backbone.Blocks), "the blocks of its backbone are not those of its architecture");
        Require(Backbone.Output == NetworkOutput.FeatureMap, $"the output of its backbone is {Backbone.Output}, not the map of the last block");
        Require(!Branches.IsDefault && Branches.Length == Architecture.Bins.Length, $"it must have a branch for each of its {Architecture.Bins.Length} bins");
        foreach (var (bin, layer) in Architecture.Bins.Zip(Branches))
            CheckLayer(layer, features, branch, $"the branch of the {bin}x{bin} bins");
        var shape = Architecture.HeadBlock;
        Require(Head.Shape == shape && Head.Kernel.Length == 9L * shape.InputChannels * shape.OutputChannels && Head.Bias.Length == shape.OutputChannels, "the convolution of its head is not that of its architecture");
        Require(IsFinite(Head.Kernel) && IsFinite(Head.Bias), "a weight of the convolution of its head is not finite");
        CheckLayer(Classifier, Architecture.HeadWidth, Classes, "its classifier");
        foreach (var block in Backbone.Blocks)
            Require(IsFinite(block.Kernel) && IsFinite(block.Bias), $"a weight of {block.Shape.Name} is not finite");

        static void CheckLayer(LinearWeights layer, int inputs, int outputs, string name)
        {
            Require(layer.InputFeatures == inputs && layer.OutputFeatures == outputs && layer.Weight.Length == (long)inputs * outputs && layer.Bias.Length == outputs, $"{name} must have {inputs} inputs and {outputs} outputs");
            Require(IsFinite(layer.Weight) && IsFinite(layer.Bias), $"a weight of {name} is not finite");
        }

        static bool IsFinite(ImmutableArray<float> values) => TensorData.IndexOfNonFinite(values.AsSpan()) < 0;

        static void Require(bool condition, string problem)
        {
            if (!condition)
                throw new ArgumentException($"The network cannot be run: {problem}.");
        }
    }

    /// <summary>Fuses trained weights of the training form into a deploy network. The auxiliary head is removed.</summary>
    /// <param name="architecture">Architecture of the weights, including the epsilon of all batch norms.</param>
    /// <param name="training">Weights of the training form: the backbone under the RepVGG authors' names, the heads under <c>ppm</c>, <c>cls</c> and <c>aux</c>.</param>
    /// <param name="imageHeight">Input height in pixels.</param>
    /// <param name="imageWidth">Input width in pixels.</param>
    /// <param name="normalization">Normalization of the input of the deploy network.</param>
    /// <returns>The fused network.</returns>
    /// <exception cref="ArgumentException">The weights do not fit the architecture, the image is too small, a batch norm's variance plus epsilon is not positive, or the normalisation has another number of channels.</exception>
    /// <exception cref="OverflowException">A fused kernel or bias is too large for 32-bit floats.</exception>
    /// <exception cref="NotSupportedException">The training form of the backbone cannot be fused.</exception>
    public static SegmentationNetwork FromTrainingForm(PspNetArchitecture architecture, StateDict training, int imageHeight, int imageWidth, Normalization normalization)
    {
        ArgumentNullException.ThrowIfNull(architecture);
        ArgumentNullException.ThrowIfNull(training);
        architecture.Validate();
        StateLayout.Check(training, [.. PspNetLayout.Training(architecture).Where(entry => !PspNetLayout.IsAuxiliary(entry.Name))], $"the training form of a PSPNet on {architecture.Backbone.Name}", PspNetLayout.IsAuxiliary);
        return FromDeployForm(architecture, Fuse(architecture, training), imageHeight, imageWidth, normalization);
    }

    /// <summary>Creates a deploy network from weights of the deploy form.</summary>
    /// <param name="architecture">The architecture of the weights.</param>
    /// <param name="deploy">Weights of the deploy form: <c>rbr_reparam</c> for the blocks, and the heads' convolutions with bias.</param>
    /// <param name="imageHeight">Input height in pixels.</param>
    /// <param name="imageWidth">Input width in pixels.</param>
    /// <param name="normalization">Normalization of the input, per channel.</param>
    /// <returns>The network.</returns>
    /// <exception cref="ArgumentException">The weights do not fit the architecture, the image is too small, or the normalisation has another number of channels.</exception>
    public static SegmentationNetwork FromDeployForm(PspNetArchitecture architecture, StateDict deploy, int imageHeight, int imageWidth, Normalization normalization)
    {
        ArgumentNullException.ThrowIfNull(architecture);
        ArgumentNullException.ThrowIfNull(deploy);
        architecture.Validate();
        architecture.ValidateImageSize(imageHeight, imageWidth);
        StateLayout.Check(deploy, PspNetLayout.Deploy(architecture), $"the deploy form of a PSPNet on {architecture.Backbone.Name}", PspNetLayout.IsAuxiliary);
        var backbone = PspNetLayout.BackboneOf(deploy);
        int features = architecture.Backbone.FeatureWidth;
        return new SegmentationNetwork(
            architecture,
            DeployNetwork.FromDeployForm(architecture.Backbone, backbone, imageHeight, imageWidth, normalization) with { Output = NetworkOutput.FeatureMap },
            [.. Enumerable.Range(0, architecture.Bins.Length).Select(i => Linear(PspNetLayout.Branch(i), features, architecture.ActualBranchWidth))],
            new DeployBlock(architecture.HeadBlock, [.. deploy["cls.0.weight"].Read()], [.. deploy["cls.0.bias"].Read()]),
            Linear("cls.4", architecture.HeadWidth, architecture.Classes));

        LinearWeights Linear(string name, int inputs, int outputs) => new(inputs, outputs, [.. deploy[$"{name}.weight"].Read()], [.. deploy[$"{name}.bias"].Read()]);
    }

    /// <summary>Fuses the blocks of the backbone, and folds the batch norms of the heads into their convolutions.</summary>
    /// <returns>Weights of the deploy form.</returns>
    internal static StateDict Fuse(PspNetArchitecture architecture, StateDict training)
    {
        var deploy = Fusion.Fuse(architecture.Backbone, PspNetLayout.BackboneOf(training));
        for (int i = 0; i < architecture.Bins.Length; i++)
            Fold(PspNetLayout.Branch(i), PspNetLayout.BranchNorm(i), 1);
        Fold("cls.0", "cls.1", 3);
        foreach (string name in (string[])["cls.4.weight", "cls.4.bias"])
            deploy[name] = new TensorData([.. training[name].Shape], training[name].ToArray());
        return deploy;

        void Fold(string convolution, string norm, int size)
        {
            var kernel = training[$"{convolution}.weight"];
            var map = LinearBranch.Convolution(kernel, kernel.Shape[1], kernel.Shape[0], size, size).Then(new NormValues(
                training[$"{norm}.weight"].Read(), training[$"{norm}.bias"].Read(), training[$"{norm}.running_mean"].Read(), training[$"{norm}.running_var"].Read(), architecture.Backbone.BatchNormEpsilon));
            float[] values = new float[9 * kernel.Shape[0] * kernel.Shape[1]];
            map.ReadKernel(values);
            // A 1x1 kernel is the centre of the 3x3 kernel.
            deploy[$"{convolution}.weight"] = new TensorData([.. kernel.Shape], size == 3 ? values : [.. Enumerable.Range(0, values.Length / 9).Select(k => values[9 * k + 4])]).Finite("fused kernel");
            deploy[$"{convolution}.bias"] = map.Bias;
        }
    }

    /// <summary>Returns the weights of the deploy form: the blocks under the RepVGG authors' names, and the heads' convolutions with bias. The normalisation is not included.</summary>
    /// <returns>Copies of the weights.</returns>
    public StateDict ExportState()
    {
        var state = (Backbone with { Output = NetworkOutput.PooledFeatures }).ExportState();
        for (int i = 0; i < Branches.Length; i++)
            Add(PspNetLayout.Branch(i), [Branches[i].OutputFeatures, Branches[i].InputFeatures, 1, 1], Branches[i].Weight, Branches[i].Bias);
        Add("cls.0", [Head.Shape.OutputChannels, Head.Shape.InputChannels, 3, 3], Head.Kernel, Head.Bias);
        Add("cls.4", [Classifier.OutputFeatures, Classifier.InputFeatures, 1, 1], Classifier.Weight, Classifier.Bias);
        return state;

        void Add(string name, int[] shape, ImmutableArray<float> weight, ImmutableArray<float> bias)
        {
            state[$"{name}.weight"] = new TensorData(shape, [.. weight]);
            state[$"{name}.bias"] = new TensorData([shape[0]], [.. bias]);
        }
    }
}
