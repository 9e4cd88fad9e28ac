using System.Collections.Immutable;
using System.Runtime.InteropServices;
using RepVgg.Architectures;
using RepVgg.Reparameterization;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Networks;

/// <summary>A RepVGG network in deploy form: 3x3 convolutions with bias and ReLU, global average pooling and a linear layer. The data is immutable.</summary>
/// <remarks>
/// It can be run by the inference engine and exported to ONNX. The input is NCHW with raw pixel values (usually 0..255).
/// <see cref="Normalization"/> is applied to the input first; the zero padding of the first convolution is applied after it.
/// </remarks>
/// <param name="Architecture">The architecture of the network.</param>
/// <param name="ImageHeight">Input height in pixels.</param>
/// <param name="ImageWidth">Input width in pixels.</param>
/// <param name="Normalization">Applied to the input, per channel.</param>
/// <param name="Blocks">The fused blocks in order.</param>
/// <param name="Classifier">The final linear layer, applied to the global average of the last map; it has no outputs if the network returns features.</param>
public sealed record DeployNetwork(
    RepVggArchitecture Architecture,
    int ImageHeight,
    int ImageWidth,
    Normalization Normalization,
    ImmutableArray<DeployBlock> Blocks,
    LinearWeights Classifier)
{
    /// <summary>The kind of output. <see cref="TakeFeatures"/> creates networks that return features.</summary>
    public NetworkOutput Output { get; init; } = NetworkOutput.Logits;

    /// <summary>Number of classes: length of the logits; 0 if the network returns features.</summary>
    public int Classes => Classifier.OutputFeatures;

    /// <summary>Dimensions of the output for one image: [classes], [channels], or [channels, height, width].</summary>
    public ImmutableArray<int> OutputShape => Output switch
    {
        NetworkOutput.Logits => [Classes],
        NetworkOutput.PooledFeatures => [Architecture.FeatureWidth],
        _ => [Architecture.FeatureWidth, MapSide(ImageHeight), MapSide(ImageWidth)],
    };

    /// <summary>Number of output values for one image.</summary>
    public int OutputLength => OutputShape.Aggregate(1, (product, size) => checked(product * size));

    /// <summary>Fuses trained weights of the training form into a deploy network. Auxiliary heads are removed. Weights without a classifier give a network that returns pooled features.</summary>
    /// <param name="architecture">Architecture of the weights, including the epsilon of all batch norms.</param>
    /// <param name="training">Weights of the training form under the authors' names.</param>
    /// <param name="imageHeight">Input height in pixels.</param>
    /// <param name="imageWidth">Input width in pixels.</param>
    /// <param name="normalization">Normalization of the input of the deploy network.</param>
    /// <returns>The fused network.</returns>
    /// <exception cref="ArgumentException">The weights do not fit the architecture (the message names the first differences), the image is too small, a batch norm's variance plus epsilon is not positive, or the normalisation has another number of channels.</exception>
    /// <exception cref="OverflowException">A fused kernel or bias is too large for 32-bit floats.</exception>
    public static DeployNetwork FromTrainingForm(RepVggArchitecture architecture, StateDict training, int imageHeight, int imageWidth, Normalization normalization)
    {
        architecture.Validate();
        CheckInput(architecture, imageHeight, imageWidth, normalization);
        // No other object refers to the fused weights, so their arrays are used without copying.
        return Create(architecture, Fusion.Fuse(architecture, training), imageHeight, imageWidth, normalization, tensor => tensor.Values);
    }

    /// <summary>Creates a deploy network from weights of the deploy form. Weights without a classifier give a network that returns pooled features.</summary>
    /// <param name="architecture">The architecture of the weights.</param>
    /// <param name="deploy">Weights of the deploy form under the authors' names, which are copied; auxiliary heads in it are ignored.</param>
    /// <param name="imageHeight">Input height in pixels.</param>
    /// <param name="imageWidth">Input width in pixels.</param>
    /// <param name="normalization">Normalization of the input, per channel.</param>
    /// <returns>The network.</returns>
    /// <exception cref="ArgumentException">The weights do not fit the architecture (the message names the first differences), the image is too small, or the normalisation has another number of channels.</exception>
    public static DeployNetwork FromDeployForm(RepVggArchitecture architecture, StateDict deploy, int imageHeight, int imageWidth, Normalization normalization)
    {
        architecture.Validate();
        int classes = StateLayout.ClassesOf(deploy);
        StateLayout.Check(deploy, StateLayout.Deploy(architecture, classes), $"the deploy form of {architecture.Name} {StateLayout.WithClasses(classes)}", StateLayout.IsAuxiliary);
        CheckInput(architecture, imageHeight, imageWidth, normalization);
        return Create(architecture, deploy, imageHeight, imageWidth, normalization, tensor => tensor.ToArray());
    }

    /// <summary>Returns the weights under the RepVGG authors' names, such as <c>stage1.0.rbr_reparam.weight</c>. The normalisation is not included. A network that returns pooled features has no classifier in them.</summary>
    /// <returns>Copies of the weights.</returns>
    /// <exception cref="InvalidOperationException">The network returns the map of a stage, or has convolutions that are padded on one side (<see cref="StageSpec.PaddingTop"/>), which weights under the authors' names do not tell.</exception>
    public StateDict ExportState()
    {
        if (Output == NetworkOutput.FeatureMap)
            throw new InvalidOperationException($"{Architecture.Name} returns the map of a stage and has no classifier; weights under the authors' names do not tell that.");
        if (Blocks.Any(block => !block.Shape.Geometry.IsCentred))
            throw new InvalidOperationException($"{Architecture.Name} has convolutions that are padded on one side, as TensorFlow pads inputs of even size; weights under the authors' names do not tell that, so that PyTorch would compute something else. Write ONNX or Keras' .weights.h5, or convert the network for images of odd size, such as 225 x 225.");
        var sources = new Dictionary<string, ImmutableArray<float>>(StringComparer.Ordinal);
        foreach (var block in Blocks)
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
        if (Output == NetworkOutput.Logits)
            (sources["linear.weight"], sources["linear.bias"]) = (Classifier.Weight, Classifier.Bias);

        var state = new StateDict();
        foreach (var entry in StateLayout.Deploy(Architecture, Classes))
            state[entry.Name] = new TensorData(entry.Shape, [.. sources[entry.Name]]);
        return state;
    }

    /// <summary>Describes the network: everything except the weights.</summary>
    /// <param name="classLabels">Names of the classes in the order of the logits, or null.</param>
    /// <returns>The description.</returns>
    /// <exception cref="ArgumentException">The number of labels is not the number of classes.</exception>
    public ModelDescription Describe(IReadOnlyList<string>? classLabels = null) => QuantizedNetwork.WithoutIntegers(this).Describe(classLabels);

    /// <summary>Divides the logits by a temperature, more than 0: the weights and biases of the classifier are divided by it.</summary>
    internal DeployNetwork WithTemperature(double temperature) => this with { Classifier = Classifier.DividedBy(temperature) };

    /// <summary>Creates a feature extractor: a network with the blocks up to a stage and without the classifier.</summary>
    /// <param name="stage">Name of the last stage of the result, e.g. <c>stage3</c>; null for the last stage of this network.</param>
    /// <param name="pooled">True to return the mean of the stage's map over height and width; false to return the map.</param>
    /// <returns>A network without classifier that returns the features. It shares the weights of this network.</returns>
    /// <exception cref="ArgumentException">There is no such stage, or it is the stem; the message lists the valid stages.</exception>
    public DeployNetwork TakeFeatures(string? stage = null, bool pooled = true)
    {
        var stages = Architecture.Stages;
        int last = stage is null ? stages.Length - 1 : IndexOfStage(stage);
        var kept = stages[..(last + 1)];
        return this with
        {
            Architecture = last == stages.Length - 1 ? Architecture : Architecture with
            {
                Name = $"{Architecture.Name}.{stages[last].Name}",
                Stages = [.. kept.Select(spec => spec with { AuxiliaryHead = false })],
            },
            Blocks = Blocks[..kept.Sum(Architecture.BlocksOf)],
            Classifier = new LinearWeights(stages[last].Width, 0, [], []),
            Output = pooled ? NetworkOutput.PooledFeatures : NetworkOutput.FeatureMap,
        };
    }

    /// <summary>Throws an exception if images or their normalisation do not suit an architecture.</summary>
    /// <exception cref="ArgumentException">The image is too small, or the normalisation has another number of channels or values that are not finite.</exception>
    internal static void CheckInput(RepVggArchitecture architecture, int imageHeight, int imageWidth, Normalization normalization)
    {
        ArgumentNullException.ThrowIfNull(normalization);
        architecture.ValidateImageSize(imageHeight, imageWidth);
        if (normalization.Problem(architecture.InputChannels) is { } problem)
            throw new ArgumentException($"The normalisation cannot be used for {architecture.Name}: {problem}.", nameof(normalization));
    }

    private static DeployNetwork Create(
        RepVggArchitecture architecture, StateDict deploy, int imageHeight, int imageWidth, Normalization normalization, Func<TensorData, float[]> valuesOf)
    {
        var blocks = ImmutableArray.CreateBuilder<DeployBlock>();
        foreach (var shape in architecture.Blocks)
        {
            LinearWeights? squeeze = null, excite = null;
            if (shape.SqueezeExcitationName is { } name)
            {
                squeeze = Linear($"{name}.down", shape.OutputChannels, shape.SqueezeWidth);
                excite = Linear($"{name}.up", shape.SqueezeWidth, shape.OutputChannels);
            }
            blocks.Add(new DeployBlock(shape, Values($"{shape.Name}.rbr_reparam.weight"), Values($"{shape.Name}.rbr_reparam.bias"), squeeze, excite));
        }
        int classes = StateLayout.ClassesOf(deploy);
        return new DeployNetwork(architecture, imageHeight, imageWidth, normalization, blocks.ToImmutable(), classes > 0 ? Linear("linear", architecture.FeatureWidth, classes) : new LinearWeights(architecture.FeatureWidth, 0, [], []))
        {
            Output = classes > 0 ? NetworkOutput.Logits : NetworkOutput.PooledFeatures,
        };

        LinearWeights Linear(string layer, int inputs, int outputs) => new(inputs, outputs, Values($"{layer}.weight"), Values($"{layer}.bias"));

        ImmutableArray<float> Values(string tensor) => ImmutableCollectionsMarshal.AsImmutableArray(valuesOf(deploy[tensor]));
    }

    private int IndexOfStage(string name)
    {
        for (int i = 1; i < Architecture.Stages.Length; i++)
        {
            if (Architecture.Stages[i].Name == name)
                return i;
        }
        throw new ArgumentException($"{Architecture.Name} has no stage '{name}' to take features from. It has: {string.Join(", ", Architecture.Stages.Skip(1).Select(known => known.Name))}.", "stage");
    }

    private int MapSide(int side) => Architecture.Blocks.Aggregate(side, (size, block) => ConvolutionSize.OutputOfBlock(size, block.Stride));
}

/// <summary>
/// One fused block: convolution 3x3 (padding 1) + bias, then ReLU, with squeeze-and-excitation before or after the ReLU if
/// <paramref name="Shape"/> specifies it.
/// </summary>
/// <param name="Shape">The block's shape.</param>
/// <param name="Kernel">OIHW: [OutputChannels, InputChannels / Groups, 3, 3].</param>
/// <param name="Bias">[OutputChannels].</param>
/// <param name="Squeeze">1x1 convolution OutputChannels -> SqueezeWidth of the squeeze-and-excitation, followed by ReLU; null without squeeze-and-excitation.</param>
/// <param name="Excite">1x1 convolution SqueezeWidth -> OutputChannels, followed by a sigmoid; null without squeeze-and-excitation.</param>
public sealed record DeployBlock(
    BlockSpec Shape,
    ImmutableArray<float> Kernel,
    ImmutableArray<float> Bias,
    LinearWeights? Squeeze = null,
    LinearWeights? Excite = null);

/// <summary>A linear layer: y = W x + b.</summary>
/// <param name="InputFeatures">Length of x.</param>
/// <param name="OutputFeatures">Length of y.</param>
/// <param name="Weight">[OutputFeatures, InputFeatures], row-major.</param>
/// <param name="Bias">[OutputFeatures].</param>
public sealed record LinearWeights(int InputFeatures, int OutputFeatures, ImmutableArray<float> Weight, ImmutableArray<float> Bias)
{
    /// <summary>Divides the weights and the biases by a number.</summary>
    internal LinearWeights DividedBy(double divisor)
    {
        return this with { Weight = Quotients(Weight), Bias = Quotients(Bias) };

        ImmutableArray<float> Quotients(ImmutableArray<float> values) => [.. values.Select(value => (float)(value / divisor))];
    }
}
