using System.Collections.Immutable;
using System.Globalization;
using System.Runtime.InteropServices;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Reparameterization;
using RepVgg.Runtime;

namespace RepVgg.Weights.Onnx;

/// <summary>Recognises a RepVGG network in an ONNX graph. The graph is read from the output to the input.</summary>
internal sealed class OnnxNetworkReader
{
    private const int MaximumBlocks = 10_000;

    // Limits of the engine on the height and width of an image, and on its values in all channels; those of the options are lower.
    private const int MaximumSide = ArchitectureValidation.MaximumImageSide;
    private const long MaximumValues = ArchitectureValidation.MaximumImageValues;

    private readonly OnnxGraph _graph;
    private readonly OnnxBlockReader _blocks;
    private readonly OnnxHeadReader _head;
    private readonly Lazy<ModelDescription?> _description;
    private readonly ImmutableArray<byte> _background;
    private readonly OnnxCrop? _crop;
    private readonly WeightsFileOptions _options;
    private readonly List<WeightsAssumption> _assumptions = [];

    // The blocks, and the names of their outputs, in order of execution.
    private readonly List<OnnxBlock> _found = [];
    private readonly List<string> _maps = [];

    // Name of the output that is used.
    private string _output = "";

    // The normalisation that the operations of the graph compute; null if they compute none.
    private Normalization? _normalization;
    private int _channels;

    /// <param name="model">The parsed model.</param>
    /// <param name="description">Returns the description in the file, or null if the file has none. Called when the description is first needed.</param>
    /// <param name="options">What the file does not say; null for nothing.</param>
    public OnnxNetworkReader(OnnxModel model, Func<ModelDescription?> description, WeightsFileOptions? options = null)
    {
        if (OnnxSegmentation.IsIn(model.Properties))
            throw new InvalidDataException("it is a network for segmentation, which gives a class for every pixel and not for the image; read it with OnnxReader.ReadSegmentation");
        _options = options ?? new WeightsFileOptions();
        _graph = new OnnxGraph(model);
        _blocks = new OnnxBlockReader(_graph);
        _head = new OnnxHeadReader(_graph);
        var chain = OnnxChainDetails.FromProperties(model.Properties);
        (_background, _crop) = (chain.Background, chain.Crop);
        _description = new Lazy<ModelDescription?>(description);
    }

    /// <summary>What was assumed because neither the file nor the options say it, after the network was read.</summary>
    public IReadOnlyList<WeightsAssumption> Assumptions => _assumptions;

    /// <summary>Reads the network.</summary>
    /// <exception cref="InvalidDataException">The graph is not a RepVGG network. The message contains only the reason.</exception>
    /// <exception cref="ArgumentException">The blocks do not form a valid architecture. The message contains only the reason.</exception>
    public DeployNetwork Read()
    {
        var parts = ReadParts();
        var blocks = ImmutableArray.CreateBuilder<DeployBlock>(_found.Count);
        foreach (var shape in parts.Architecture.Blocks)
            blocks.Add(Load(shape, _found[blocks.Count]));
        return new DeployNetwork(parts.Architecture, parts.Height, parts.Width, parts.Normalization, blocks.MoveToImmutable(), parts.Head?.Load() ?? NoClassifier(parts.Architecture))
        {
            Output = parts.Output,
        };
    }

    /// <summary>Reads a quantized network. Blocks whose weights, input and output are not all quantized are left in floating point.</summary>
    /// <param name="quantized">What the pairs of QuantizeLinear and DequantizeLinear said that were removed from the graph.</param>
    /// <exception cref="InvalidDataException">The graph is not a RepVGG network, or its integers are of kinds that are not supported. The message contains only the reason.</exception>
    /// <exception cref="ArgumentException">The blocks do not form a valid architecture. The message contains only the reason.</exception>
    public QuantizedNetwork ReadQuantized(OnnxQuantizedGraph quantized)
    {
        var parts = ReadParts();
        var reader = new OnnxQuantizedReader(_graph, quantized);
        var blocks = ImmutableArray.CreateBuilder<QuantizedBlock>(_found.Count);
        var input = reader.StoredOf(_found[0].Source);
        var stored = input;
        foreach (var shape in parts.Architecture.Blocks)
        {
            int i = blocks.Count;
            var output = reader.StoredOf(_maps[i]);
            if (stored is { } given && output is { } result && reader.Block(shape, _maps[i], given, result, _found[i].Squeeze?.Load(), _found[i].Excite?.Load()) is { } block)
                blocks.Add(block);
            else
                blocks.Add(new QuantizedBlock { Shape = shape, Float = Load(shape, _found[i]), Output = output });
            stored = output;
        }
        var classifier = parts.Head is null ? null : reader.Classifier(_head.Layer, parts.Head);
        if (reader.CheckAllRead(_output))
            _assumptions.Add(new WeightsAssumption(WeightsAssumptionKind.Output, MessageText.WithoutControls($"the quantization of the output '{_output}' is left out: the results are not rounded to bytes")));
        return new QuantizedNetwork(parts.Architecture, parts.Height, parts.Width, parts.Normalization, blocks.MoveToImmutable())
        {
            Input = input,
            Pooled = classifier?.Pooled,
            QuantizedClassifier = classifier?.Weights,
            Classifier = parts.Head is null || classifier is not null ? NoClassifier(parts.Architecture) : parts.Head.Load(),
            Output = parts.Output,
        };
    }

    /// <summary>What a network consists of besides its blocks.</summary>
    private sealed record Parts(RepVggArchitecture Architecture, int Height, int Width, Normalization Normalization, NetworkOutput Output, LinearSource? Head);

    private Parts ReadParts()
    {
        var input = _graph.Input;
        var (output, head, found, map) = Find();
        var normalization = Normalization(map, input.Name, found[0].Convolution.InputChannels);
        var architecture = Architecture();
        var (height, width) = ImageSize(input, found, map);
        DeployNetwork.CheckInput(architecture, height, width, normalization);
        if (head is not null && head.InputFeatures != architecture.FeatureWidth)
            throw new InvalidDataException($"its classifier reads {head.InputFeatures} features of {architecture.FeatureWidth}");
        if (head is not null && _description.Value is { } description && description.Classes != head.OutputFeatures)
            throw new InvalidDataException($"its classifier has {head.OutputFeatures} classes, and its description says {description.Classes}");
        return new Parts(architecture, height, width, normalization, output, head);
    }

    private static LinearWeights NoClassifier(RepVggArchitecture architecture) => new(architecture.FeatureWidth, 0, [], []);

    private static DeployBlock Load(BlockSpec shape, OnnxBlock block) =>
        new(shape, Load(block.Convolution.Kernel), Load(block.Convolution.Bias), block.Squeeze?.Load(), block.Excite?.Load());

    /// <summary>Reads the network for an inference engine. The weights are not copied: they are read from the file, which must stay open, when they are used.</summary>
    /// <exception cref="InvalidDataException">The graph is not a RepVGG network. The message contains only the reason.</exception>
    /// <exception cref="ArgumentException">The parts of the network are inconsistent. The message contains only the reason.</exception>
    public NetworkSource Open()
    {
        var input = _graph.Input;
        var (output, head, found, map) = Find();
        int channels = found[0].Convolution.InputChannels;
        var normalization = Normalization(map, input.Name, channels);
        var (height, width) = ImageSize(input, found, map);
        var blocks = new BlockSource[found.Count];
        for (int i = 0; i < blocks.Length; i++)
        {
            var (_, convolution, squeezeExcitation, squeeze, excite) = found[i];
            blocks[i] = new BlockSource(
                new BlockSpec($"block {i}", convolution.InputChannels, convolution.OutputChannels, convolution.Stride, convolution.Groups, squeezeExcitation)
                {
                    PaddingTop = convolution.Top,
                    PaddingLeft = convolution.Left,
                    Dilation = convolution.Dilation,
                },
                convolution.Kernel, convolution.Bias, squeeze, excite);
        }
        head ??= new LinearSource(found[^1].Convolution.OutputChannels, 0, TensorData.Zeros(0), TensorData.Zeros(0));
        return new NetworkSource(channels, height, width, normalization, output, blocks, head);
    }

    /// <summary>Checks that the options do not contradict the network that was read.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="ArgumentException">An option contradicts the network. The message names both values.</exception>
    public void CheckOptions(string path)
    {
        if (_options.Normalization is not { } given)
            return;
        if (!Fits(given))
            throw new ArgumentException($"The option Normalization is {given}; it needs {_channels} means and scales, one per channel of the images of '{path}'.");
        if (_normalization is { } own && !(Agree(given.Mean, own.Mean) && Agree(given.Scale, own.Scale)))
            throw new ArgumentException($"The option Normalization is {given}, but the graph of '{path}' already normalises its input, with {own}. Leave the option out.");

        static bool Agree(ImmutableArray<float> given, ImmutableArray<float> own)
        {
            const double Tolerance = 1e-3; // constants may be stored as 16-bit floats
            return given.Length == own.Length && given.Zip(own).All(pair => Math.Abs(pair.First - pair.Second) <= Tolerance * Math.Abs(pair.Second));
        }
    }

    private (NetworkOutput Output, LinearSource? Head, List<OnnxBlock> Blocks, string Map) Find()
    {
        _output = _head.Choose(_options.Output, _assumptions.Add);
        _graph.CheckPrecision(_output);
        var (output, head, map) = _head.Read(_output, _assumptions.Add);
        var found = _found;
        var maps = new HashSet<string>(StringComparer.Ordinal);
        if (head is not null)
            _graph.Weights.Take(ValuesOf(head), "the classifier");
        for (var block = _blocks.Read(map); block is not null; block = _blocks.Read(map))
        {
            if (!maps.Add(map))
                throw new InvalidDataException($"its operations form a cycle: the map '{MessageText.Printable(map)}' is computed from itself");
            if (found.Count >= MaximumBlocks)
                throw new InvalidDataException($"it has more than {MaximumBlocks} blocks");
            _graph.Weights.Take(ValuesOf(block), map);
            found.Add(block);
            _maps.Add(map);
            map = block.Source;
        }
        if (found.Count == 0)
            throw new InvalidDataException($"the input of its pooling is the output of {_graph.Producer(map)?.ToString() ?? "no operation"}, not of a RepVGG block");
        found.Reverse();
        _maps.Reverse();
        return (output, head, found, map);
    }

    /// <summary>Counts the values that an engine holds of a block, or those that are read to compute them if they are more.</summary>
    private static double ValuesOf(OnnxBlock block)
    {
        var convolution = block.Convolution;
        double held = 9.0 * Padded(convolution.OutputChannels) * Padded(convolution.InputsPerGroup);
        return Math.Max(held, convolution.ValuesRead) + (block.Squeeze is { } squeeze ? ValuesOf(squeeze) : 0) + (block.Excite is { } excite ? ValuesOf(excite) : 0);
    }

    private static double ValuesOf(LinearSource layer) => (double)Padded(layer.OutputFeatures) * layer.InputFeatures;

    /// <summary>The channels that an engine allocates: it pads them to whole vectors, in grouped convolutions also those of a group.</summary>
    private static int Padded(int channels) => (channels + 15) / 16 * 16;

    /// <summary>Returns the architecture of the description or, without one, that of the blocks, after the network was read.</summary>
    /// <exception cref="InvalidDataException">The blocks are not those of the description, or do not form a RepVGG network. The message contains only the reason.</exception>
    /// <exception cref="ArgumentException">The blocks do not form a valid architecture. The message contains only the reason.</exception>
    public RepVggArchitecture Architecture()
    {
        var found = _found;
        var shapes = found.ConvertAll(block => ShapeOf(block.Convolution));
        int other = found.FindIndex(block => block.SqueezeExcitation != found[0].SqueezeExcitation);
        if (other >= 0)
            throw new InvalidDataException($"some of its blocks have squeeze-and-excitation and others do not: {Name(0)} has {found[0].SqueezeExcitation}, {Name(other)} {found[other].SqueezeExcitation}");
        var architecture = _description.Value?.Architecture ?? Infer(shapes, found[0].SqueezeExcitation);
        foreach (var (i, shape) in architecture.Blocks.Index())
        {
            if (i >= found.Count)
                throw new InvalidDataException($"it has {found.Count} blocks, fewer than in its description");
            var block = found[i];
            var expected = BlockShape.Of(shape);
            if (shapes[i] != expected || block.SqueezeExcitation != shape.SqueezeExcitation || (block.Squeeze?.OutputFeatures ?? 0) != shape.SqueezeWidth)
                throw new InvalidDataException($"its block {i} is {shapes[i]} with squeeze-and-excitation {block.SqueezeExcitation}; {shape.Name} of {architecture.Name} is {expected} with {shape.SqueezeExcitation}");
        }
        return architecture.Stages.Sum(stage => stage.Depth) == found.Count ? architecture : throw new InvalidDataException($"it has {found.Count} blocks, more than in its description");
    }

    /// <summary>Names a block by its number and its output, for messages.</summary>
    private string Name(int block) => $"block {block} (with the output '{_maps[block]}')";

    private RepVggArchitecture Infer(List<BlockShape> blocks, SqueezeExcitation squeezeExcitation)
    {
        for (int i = 0; i < blocks.Count; i++)
        {
            if (i > 0 && blocks[i].InputChannels != blocks[i - 1].OutputChannels)
                throw new InvalidDataException($"its {Name(i)} reads {blocks[i].InputChannels} channels of {blocks[i - 1].OutputChannels}");
        }
        var network = new FoundNetwork(
            blocks.ConvertAll(block => new FoundBlock(block.InputChannels, block.OutputChannels, block.Geometry.Groups) { Stride = block.Geometry.Stride, Padding = (block.Geometry.Top, block.Geometry.Left) }), squeezeExcitation);
        if (blocks.Exists(block => block.Geometry.Dilation > 1))
            throw new InvalidDataException("some of its convolutions are dilated, as in networks for segmentation; its description, which says which strides they replace, is missing");
        var architecture = ArchitectureInference.Infer(network);
        if (network.Fits(architecture))
            return architecture;
        foreach (var (i, shape) in architecture.Blocks.Index())
        {
            if (i < blocks.Count && blocks[i].Geometry.Groups != shape.Groups)
                throw new InvalidDataException($"its {Name(i)} has {blocks[i].Geometry.Groups} groups, not {shape.Groups}: every second block of a RepVGG, counted from the stem or in each stage, has the same number of groups, and the others have one group");
        }
        throw new InvalidDataException("its blocks do not form a RepVGG network");
    }

    private static BlockShape ShapeOf(LinearBranch convolution) =>
        new(convolution.InputChannels, convolution.OutputChannels, new BlockGeometry(convolution.Stride, convolution.Groups, convolution.Dilation, convolution.Top, convolution.Left));

    /// <summary>Gets the normalisation of the graph, or that of the options if the graph has none.</summary>
    private Normalization Normalization(string map, string input, int channels)
    {
        _channels = channels;
        var read = ReadNormalization(map, input, channels, out bool isIdentity);
        if (!isIdentity)
            return _normalization = read;
        if (_options.Normalization is null && _description.Value is null)
            _assumptions.Add(WeightsAssumption.NoNormalization);
        // An option with another number of channels is refused by CheckOptions.
        return _options.Normalization is { } given && Fits(given) ? given : read;
    }

    private bool Fits(Normalization given) => given.Mean.Length == _channels && given.Scale.Length == _channels;

    private Normalization ReadNormalization(string map, string input, int channels, out bool isIdentity)
    {
        // The operations before the first convolution compute y = scale * x + shift per channel. They are read from the last to the first.
        double[] scale = new double[channels], shift = new double[channels];
        Array.Fill(scale, 1);
        OnnxNode? next = null;
        bool isCropped = false;
        for (int steps = 0; map != input; steps++)
        {
            if (!_background.IsEmpty && _graph.Producer(map)?.Operation == "Min" && OnnxComposition.Skip(_graph, map, _background) == input)
                break;
            if (_crop is not null && !isCropped && _graph.Producer(map) is { Operation: "Slice" } slice)
            {
                map = _crop.Skip(_graph, slice);
                isCropped = true;
                continue;
            }
            var node = _graph.Producer(map) ?? throw new InvalidDataException($"the input '{map}' of its first convolution is not computed from the input of the graph");
            bool constantFirst = node.Inputs.Count == 2 && _graph.Constant(node.Inputs[0]) is not null;
            bool constantSecond = node.Inputs.Count == 2 && _graph.Constant(node.Inputs[1]) is not null;
            bool known = constantFirst != constantSecond && (node.Operation is "Add" or "Mul" || (node.Operation is "Sub" or "Div" && constantSecond));
            if (!known || steps > 16)
            {
                throw new InvalidDataException(next is not null && _graph.IsRelu(node)
                    ? $"{next} follows {node}, but between two RepVGG blocks is no other operation"
                    : $"{node} is neither part of a RepVGG block (Conv, BatchNormalization, Add, Relu, squeeze-and-excitation) nor of a normalisation between the input and the first convolution (Add, Sub, Mul, Div)");
            }
            float[] values = _graph.PerChannel(node, _graph.ConstantOf(node, constantFirst ? 0 : 1), channels);
            for (int c = 0; c < channels; c++)
            {
                double factor = node.Operation switch { "Mul" => values[c], "Div" => 1.0 / values[c], _ => 1 };
                double term = node.Operation switch { "Add" => values[c], "Sub" => -(double)values[c], _ => 0 };
                shift[c] += scale[c] * term;
                scale[c] *= factor;
            }
            map = _graph.InputOf(node, constantFirst ? 1 : 0);
            next = node;
        }
        if (_crop is not null && !isCropped)
            throw new InvalidDataException("it does not have the crop that its description states");
        float[] means = new float[channels], scales = new float[channels];
        isIdentity = true;
        for (int c = 0; c < channels; c++)
        {
            means[c] = shift[c] == 0 ? 0 : (float)(-shift[c] / scale[c]);
            scales[c] = (float)scale[c];
            isIdentity &= means[c] == 0 && scales[c] == 1;
        }
        var normalization = new Normalization(ImmutableCollectionsMarshal.AsImmutableArray(means), ImmutableCollectionsMarshal.AsImmutableArray(scales));
        return normalization.Problem(channels) is { } problem ? throw new InvalidDataException($"the normalisation that its operations compute cannot be used: {problem}") : normalization;
    }

    private (int Height, int Width) ImageSize(OnnxValue input, List<OnnxBlock> found, string map)
    {
        int channels = found[0].Convolution.InputChannels;
        if (!_background.IsEmpty && _background.Length != channels)
            throw new InvalidDataException($"its background has {_background.Length} values for {channels} channels");
        channels += _background.IsEmpty ? 0 : 1;
        bool isFloat = input.ElementType is OnnxSchema.Tensor.Float or OnnxSchema.Tensor.Float16 or OnnxSchema.Tensor.Double or OnnxSchema.Tensor.BFloat16;
        if (!isFloat || input.Shape.Count is not (0 or 4) || Dimension(1) is { } given && given != channels)
            throw new InvalidDataException($"its input '{input.Name}' is not an image batch of floats, [N, {channels}, H, W]");
        if (_crop is not null && (Dimension(2), Dimension(3)) != (_crop.InputHeight, _crop.InputWidth))
            throw new InvalidDataException($"its input '{input.Name}' does not have the size that its crop states, {_crop.InputHeight} x {_crop.InputWidth}");
        int height = Side(2, _options.Height), width = Side(3, _options.Width);
        // As long, because the product can exceed an int.
        if ((long)channels * height * width > MaximumValues)
            throw new InvalidDataException($"images of {channels} channels and {height} x {width} pixels are too large: they have {(long)channels * height * width} values, of at most {MaximumValues}");
        _options.Limits.CheckImage(channels, height, width);
        CheckConditions(found, map, height, width);
        return (height, width);

        // A size of the options goes before that of the file: a network with global pooling can read images of any size.
        // The description is read only if it is needed, because the file is opened faster without it.
        int Side(int axis, int? given) => (given ?? (axis == 2 ? _crop?.Height : _crop?.Width) ?? Dimension(axis) ?? (axis == 2 ? _description.Value?.ImageHeight : _description.Value?.ImageWidth)) switch
        {
            null => throw new InvalidDataException($"its input '{input.Name}' has no fixed height and width; give the image size (the option ImageHeight)"),
            > 0 and <= MaximumSide and var side => (int)side,
            var side => throw new InvalidDataException($"{(given is null ? $"its input '{input.Name}' has" : "the options give")} a {(axis == 2 ? "height" : "width")} of {side} pixels, which must be from 1 to {MaximumSide}"),
        };

        // The shape may be missing as a whole.
        long? Dimension(int axis) => input.Shape.Count == 0 ? null : input.Shape[axis];
    }

    /// <summary>Checks the sizes of feature maps, and what the operations require of them.</summary>
    private void CheckConditions(List<OnnxBlock> found, string map, int height, int width)
    {
        var sizes = new Dictionary<string, (int Height, int Width)>(StringComparer.Ordinal) { [map] = (height, width) };
        foreach (var (block, name) in found.Zip(_maps))
        {
            int stride = block.Convolution.Stride;
            (height, width) = (ConvolutionSize.OutputOfBlock(height, stride), ConvolutionSize.OutputOfBlock(width, stride));
            sizes[name] = (height, width);
            if ((long)block.Convolution.OutputChannels * height * width > Array.MaxLength)
                throw new InvalidDataException($"the images are too large: the map '{name}' of {block.Convolution.OutputChannels} channels and {height} x {width} pixels has more than {Array.MaxLength} values");
        }
        foreach (var (name, problem) in _graph.SizeConditions)
        {
            if (!sizes.TryGetValue(name, out var size))
                throw new InvalidDataException($"the size of '{name}' is not known");
            if (problem(size.Height, size.Width) is { } text)
                throw new InvalidDataException(text);
        }
    }

    private static ImmutableArray<float> Load(TensorData weights) => ImmutableCollectionsMarshal.AsImmutableArray(weights.ToArray());
}
