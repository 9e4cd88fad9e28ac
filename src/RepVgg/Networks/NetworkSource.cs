using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using RepVgg.Architectures;
using RepVgg.Weights;

namespace RepVgg.Networks;

/// <summary>
/// The input of an inference engine: the shapes of a deploy network and sources of its weights. The engine reads the weights
/// one tensor at a time when it packs them, so that a network from a file does not need to be in memory as a whole.
/// </summary>
internal sealed class NetworkSource
{
    /// <param name="inputChannels">Channels of the input image.</param>
    /// <param name="imageHeight">Input height in pixels.</param>
    /// <param name="imageWidth">Input width in pixels.</param>
    /// <param name="normalization">Applied to the input, per channel.</param>
    /// <param name="output">The kind of output.</param>
    /// <param name="blocks">The blocks in order, at least one.</param>
    /// <param name="classifier">The final linear layer; it has no outputs if the network returns features.</param>
    /// <exception cref="ArgumentException">The shapes of the parts are inconsistent.</exception>
    public NetworkSource(
        int inputChannels, int imageHeight, int imageWidth, Normalization normalization, NetworkOutput output, BlockSource[] blocks, LinearSource classifier)
    {
        InputChannels = inputChannels;
        ImageHeight = imageHeight;
        ImageWidth = imageWidth;
        Normalization = normalization;
        Output = output;
        Blocks = blocks;
        Classifier = classifier;
        int channels = inputChannels, height = imageHeight, width = imageWidth;
        Check(inputChannels > 0 && imageHeight > 0 && imageWidth > 0 && blocks.Length > 0, "the network has no blocks or no pixels");
        CheckMap(channels, height, width);
        InputLength = inputChannels * imageHeight * imageWidth;
        Check(normalization.Mean.Length == inputChannels && normalization.Scale.Length == inputChannels, "the normalisation has another number of channels than the input");
        for (int i = 0; i < blocks.Length; i++)
        {
            blocks[i].Check(channels);
            var shape = blocks[i].Shape;
            Check((shape.PaddingTop == 1 || height % 2 == 0) && (shape.PaddingLeft == 1 || width % 2 == 0), $"{shape.Name} is padded on one side, which needs even sizes, and reads a map of {height} x {width} pixels");
            channels = shape.OutputChannels;
            height = ConvolutionSize.OutputOfBlock(height, shape.Stride);
            width = ConvolutionSize.OutputOfBlock(width, shape.Stride);
            CheckMap(channels, height, width);
        }
        if (output == NetworkOutput.Logits)
            classifier.Check(channels, classifier.OutputFeatures, "the classifier");
        OutputLength = output switch
        {
            NetworkOutput.Logits => classifier.OutputFeatures,
            NetworkOutput.PooledFeatures => channels,
            _ => channels * height * width,
        };

        // Maps have a border of one pixel, and their channels are padded to whole vectors of at most 16.
        void CheckMap(int mapChannels, int mapHeight, int mapWidth) => Check(
            (double)(mapChannels + 15) * (mapHeight + 2.0) * (mapWidth + 2.0) <= Array.MaxLength,
            $"images of {imageHeight} x {imageWidth} pixels are too large: a map of {mapChannels} channels and {mapHeight} x {mapWidth} pixels has too many values");
    }

    public int InputChannels { get; }

    public int ImageHeight { get; }

    public int ImageWidth { get; }

    public Normalization Normalization { get; }

    public NetworkOutput Output { get; }

    public BlockSource[] Blocks { get; }

    public LinearSource Classifier { get; }

    /// <summary>The network, if it is a quantized one.</summary>
    public QuantizedNetwork? Quantized { get; private init; }

    /// <summary>Number of input values of one image.</summary>
    public int InputLength { get; }

    /// <summary>Number of output values for one image.</summary>
    public int OutputLength { get; }

    /// <summary>Creates a source from a network in memory.</summary>
    public static NetworkSource Of(DeployNetwork network)
    {
        var blocks = new BlockSource[network.Blocks.Length];
        for (int i = 0; i < blocks.Length; i++)
            blocks[i] = Of(network.Blocks[i]);
        return new NetworkSource(
            network.Architecture.InputChannels, network.ImageHeight, network.ImageWidth, network.Normalization, network.Output, blocks, Linear(network.Classifier));
    }

    /// <summary>Creates a source from a quantized network in memory. It has the shapes, and the weights of the layers in floating point.</summary>
    /// <exception cref="ArgumentException">The parts of the network are inconsistent.</exception>
    public static NetworkSource Of(QuantizedNetwork network)
    {
        var blocks = new BlockSource[network.Blocks.Length];
        var input = network.Input;
        Check(input is null || network.Architecture.InputChannels <= 4, $"its input has {network.Architecture.InputChannels} channels; a quantized input has at most 4");
        Check(input is null or { Scale: > 0 and < float.PositiveInfinity }, "the scale of its input is not a positive number");
        for (int i = 0; i < blocks.Length; i++)
        {
            var block = network.Blocks[i];
            string name = block.Shape.Name;
            Check(block.Shape.Dilation == 1, $"it is quantized and the convolution of {name} is dilated, but there are no dilated convolutions on integers");
            Check((block.Convolution is null) != (block.Float is null), $"{name} must have either weights of integers or of floating-point numbers");
            Check(block.Output is null or { Scale: > 0 and < float.PositiveInfinity, ZeroPoint: 0 }, $"the output of {name} needs a positive scale and the zero point 0, because a ReLU precedes it");
            if (block.Convolution is null)
            {
                blocks[i] = Of(block.Float! with { Shape = block.Shape });
            }
            else
            {
                bool isScaled = block.Shape.SqueezeExcitation != SqueezeExcitation.None;
                Check(input is not null, $"{name} has weights of integers, but its input is not quantized");
                Check(block.Output is not null, $"{name} has weights of integers, but its output is not quantized");
                Check((block.BeforeSqueeze is not null) == isScaled, $"{name} must say how the map in front of its squeeze-and-excitation is stored if it has one, and must not otherwise");
                Check(
                    block.BeforeSqueeze is null or { Scale: > 0 and < float.PositiveInfinity } && (block.BeforeSqueeze is null or { ZeroPoint: 0 } || block.Shape.SqueezeExcitation == SqueezeExcitation.BeforeRelu),
                    $"the map in front of the squeeze-and-excitation of {name} needs a positive scale, and the zero point 0 if a ReLU precedes it");
                blocks[i] = new BlockSource(block.Shape, TensorData.Zeros(0), TensorData.Zeros(0), Linear(block.Squeeze), Linear(block.Excite), block.Convolution);
            }
            input = block.Output;
        }
        Check((network.QuantizedClassifier is null) == (network.Pooled is null), "it must say how the pooled features are stored if its classifier has weights of integers, and must not otherwise");
        Check(network.Pooled is null or { Scale: > 0 and < float.PositiveInfinity }, "the scale of its pooled features is not positive");
        Check(network.QuantizedClassifier is null || network.Output == NetworkOutput.Logits, "it has a classifier, but its output is features");
        int features = blocks.Length == 0 ? 0 : blocks[^1].Shape.OutputChannels;
        var classifier = network.QuantizedClassifier is { } weights
            ? new LinearSource(features, weights.Biases.Length, TensorData.Zeros(0), TensorData.Zeros(0), weights)
            : Linear(network.Classifier);
        return new NetworkSource(
            network.Architecture.InputChannels, network.ImageHeight, network.ImageWidth, network.Normalization, network.Output, blocks, classifier)
        {
            Quantized = network,
        };
    }

    /// <summary>Creates the source of a block in memory.</summary>
    public static BlockSource Of(DeployBlock block) => new(block.Shape, Tensor(block.Kernel), Tensor(block.Bias), Linear(block.Squeeze), Linear(block.Excite));

    [return: NotNullIfNotNull(nameof(layer))]
    private static LinearSource? Linear(LinearWeights? layer) =>
        layer is null ? null : new(layer.InputFeatures, layer.OutputFeatures, Tensor(layer.Weight), Tensor(layer.Bias));

    private static TensorData Tensor(ImmutableArray<float> values) => new(ImmutableCollectionsMarshal.AsArray(values) ?? []);

    internal static void Check(bool condition, string problem)
    {
        if (!condition)
            throw new ArgumentException($"The network cannot be run: {problem}.");
    }
}

/// <summary>One block of a <see cref="NetworkSource"/>; see <see cref="DeployBlock"/>.</summary>
/// <param name="shape">Shape of the block.</param>
/// <param name="kernel">OIHW: [outputs, inputs / groups, 3, 3].</param>
/// <param name="bias">[outputs].</param>
/// <param name="squeeze">The first layer of the squeeze-and-excitation, or null.</param>
/// <param name="excite">The second layer of the squeeze-and-excitation, or null.</param>
/// <param name="weights">Kernel and bias as integers; <paramref name="kernel"/> and <paramref name="bias"/> are empty then.</param>
internal sealed class BlockSource(BlockSpec shape, TensorData kernel, TensorData bias, LinearSource? squeeze, LinearSource? excite, QuantizedWeights? weights = null)
{
    public BlockSpec Shape => shape;

    public TensorData Kernel => kernel;

    public TensorData Bias => bias;

    public LinearSource? Squeeze => squeeze;

    public LinearSource? Excite => excite;

    /// <summary>
    /// Throws an <see cref="ArgumentException"/> if the weights do not match the shape of the block, or if the shape does
    /// not have <paramref name="channels"/> input channels.
    /// </summary>
    public void Check(int channels)
    {
        NetworkSource.Check(
            shape.InputChannels == channels && shape.OutputChannels > 0 && shape.Stride is 1 or 2 && shape.Groups > 0 && (shape.Dilation == 1 || (shape.Dilation > 1 && shape.Stride == 1)) && (shape.Geometry.IsCentred || (shape.PaddingTop is 0 or 1 && shape.PaddingLeft is 0 or 1 && shape.Stride == 2))
            && channels % shape.Groups == 0 && shape.OutputChannels % shape.Groups == 0,
            $"{shape.Name} has {shape.InputChannels} to {shape.OutputChannels} channels in {shape.Groups} groups, stride {shape.Stride} and dilation {shape.Dilation}, and reads {channels} channels");
        long values = weights?.Weights.Length ?? kernel.Length, biases = weights?.Biases.Length ?? bias.Length;
        NetworkSource.Check(
            values == 9L * shape.OutputChannels * (channels / shape.Groups) && biases == shape.OutputChannels,
            $"the kernel of {shape.Name} has {values} weights and {biases} biases");
        weights?.Check(shape.Name);
        NetworkSource.Check(
            (squeeze is null) == (excite is null) && (squeeze is null) == (shape.SqueezeExcitation == SqueezeExcitation.None),
            $"{shape.Name} must have both squeeze-and-excitation layers if its shape specifies them, and neither otherwise");
        squeeze?.Check(shape.OutputChannels, squeeze.OutputFeatures, $"the squeeze of {shape.Name}");
        excite?.Check(squeeze!.OutputFeatures, shape.OutputChannels, $"the excitation of {shape.Name}");
    }
}

/// <summary>A linear layer of a <see cref="NetworkSource"/>; see <see cref="LinearWeights"/>.</summary>
/// <param name="inputFeatures">Length of the input.</param>
/// <param name="outputFeatures">Length of the output.</param>
/// <param name="weight">[outputs, inputs].</param>
/// <param name="bias">[outputs].</param>
/// <param name="weights">Weights and biases as integers; <paramref name="weight"/> and <paramref name="bias"/> are empty then.</param>
internal sealed class LinearSource(int inputFeatures, int outputFeatures, TensorData weight, TensorData bias, QuantizedWeights? weights = null)
{
    public int InputFeatures => inputFeatures;

    public int OutputFeatures => outputFeatures;

    public TensorData Weight => weight;

    public TensorData Bias => bias;

    /// <summary>Reads the weights of the layer into memory.</summary>
    public LinearWeights Load() => new(
        inputFeatures, outputFeatures, ImmutableCollectionsMarshal.AsImmutableArray(weight.ToArray()), ImmutableCollectionsMarshal.AsImmutableArray(bias.ToArray()));

    /// <summary>Throws an <see cref="ArgumentException"/> if the layer does not have the expected numbers of features, or if its weights do not match them.</summary>
    public void Check(int inputs, int outputs, string name)
    {
        long values = weights?.Weights.Length ?? weight.Length, biases = weights?.Biases.Length ?? bias.Length;
        NetworkSource.Check(
            inputFeatures == inputs && outputFeatures == outputs && inputs > 0 && outputs > 0 && values == (long)inputs * outputs && biases == outputs,
            $"{name} has {inputFeatures} to {outputFeatures} features with {values} weights and {biases} biases, not {inputs} to {outputs}");
        weights?.Check(name);
    }
}
