using System.Collections.Immutable;
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

    /// <summary>Number of input values of one image.</summary>
    public int InputLength { get; }

    /// <summary>Number of output values for one image.</summary>
    public int OutputLength { get; }

    /// <summary>Creates a source from a network in memory.</summary>
    public static NetworkSource Of(DeployNetwork network)
    {
        var blocks = new BlockSource[network.Blocks.Length];
        for (int i = 0; i < blocks.Length; i++)
        {
            var block = network.Blocks[i];
            blocks[i] = new BlockSource(
                block.Shape, Tensor(block.Kernel), Tensor(block.Bias),
                block.Squeeze is null ? null : Linear(block.Squeeze), block.Excite is null ? null : Linear(block.Excite));
        }
        return new NetworkSource(
            network.Architecture.InputChannels, network.ImageHeight, network.ImageWidth, network.Normalization, network.Output, blocks, Linear(network.Classifier));

        static LinearSource Linear(LinearWeights layer) => new(layer.InputFeatures, layer.OutputFeatures, Tensor(layer.Weight), Tensor(layer.Bias));

        static TensorData Tensor(ImmutableArray<float> values) => new(ImmutableCollectionsMarshal.AsArray(values) ?? []);
    }

    internal static void Check(bool condition, string problem)
    {
        if (!condition)
            throw new ArgumentException($"The network cannot be run: {problem}.");
    }
}

/// <summary>One block of a <see cref="NetworkSource"/>; see <see cref="DeployBlock"/>.</summary>
internal sealed class BlockSource(BlockSpec shape, TensorData kernel, TensorData bias, LinearSource? squeeze, LinearSource? excite)
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
            shape.InputChannels == channels && shape.OutputChannels > 0 && shape.Stride is 1 or 2 && shape.Groups > 0
            && channels % shape.Groups == 0 && shape.OutputChannels % shape.Groups == 0,
            $"{shape.Name} has {shape.InputChannels} to {shape.OutputChannels} channels in {shape.Groups} groups and stride {shape.Stride}, and reads {channels} channels");
        NetworkSource.Check(
            kernel.Length == 9L * shape.OutputChannels * (channels / shape.Groups) && bias.Length == shape.OutputChannels,
            $"the kernel of {shape.Name} has {kernel.Length} weights and {bias.Length} biases");
        NetworkSource.Check(
            (squeeze is null) == (excite is null) && (squeeze is null) == (shape.SqueezeExcitation == SqueezeExcitation.None),
            $"{shape.Name} must have both squeeze-and-excitation layers if its shape specifies them, and neither otherwise");
        squeeze?.Check(shape.OutputChannels, squeeze.OutputFeatures, $"the squeeze of {shape.Name}");
        excite?.Check(squeeze!.OutputFeatures, shape.OutputChannels, $"the excitation of {shape.Name}");
    }
}

/// <summary>A linear layer of a <see cref="NetworkSource"/>; see <see cref="LinearWeights"/>.</summary>
internal sealed class LinearSource(int inputFeatures, int outputFeatures, TensorData weight, TensorData bias)
{
    public int InputFeatures => inputFeatures;

    public int OutputFeatures => outputFeatures;

    public TensorData Weight => weight;

    public TensorData Bias => bias;

    /// <summary>Reads the weights of the layer into memory.</summary>
    public LinearWeights Load() => new(
        inputFeatures, outputFeatures, ImmutableCollectionsMarshal.AsImmutableArray(weight.ToArray()), ImmutableCollectionsMarshal.AsImmutableArray(bias.ToArray()));

    /// <summary>Throws an <see cref="ArgumentException"/> if the layer does not have the expected numbers of features, or if its weights do not match them.</summary>
    public void Check(int inputs, int outputs, string name) => NetworkSource.Check(
        inputFeatures == inputs && outputFeatures == outputs && inputs > 0 && outputs > 0
        && weight.Length == (long)inputs * outputs && bias.Length == outputs,
        $"{name} has {inputFeatures} to {outputFeatures} features with {weight.Length} weights and {bias.Length} biases, not {inputs} to {outputs}");
}
