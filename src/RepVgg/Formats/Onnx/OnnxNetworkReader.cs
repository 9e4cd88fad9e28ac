using System.Collections.Immutable;
using RepVgg.Architectures;
using RepVgg.Networks;

namespace RepVgg.Formats.Onnx;

/// <summary>Recognises a RepVGG in an ONNX graph, from the output back to the input.</summary>
internal sealed class OnnxNetworkReader
{
    private const int MaximumBlocks = 10_000;
    private const int SingleType = OnnxSchema.Tensor.Float;

    private readonly OnnxGraph _graph;
    private readonly OnnxBlockReader _blocks;
    private readonly OnnxHeadReader _head;
    private readonly ModelDescription? _description;

    /// <param name="model">The file's content.</param>
    /// <param name="description">What the file says about itself; null where it says nothing.</param>
    public OnnxNetworkReader(OnnxModel model, ModelDescription? description)
    {
        _graph = new OnnxGraph(model);
        _blocks = new OnnxBlockReader(_graph);
        _head = new OnnxHeadReader(_graph);
        _description = description;
    }

    /// <summary>Reads the network.</summary>
    /// <exception cref="InvalidDataException">It is no RepVGG; the message is the reason alone.</exception>
    /// <exception cref="ArgumentException">Its parts do not make an architecture; likewise.</exception>
    public DeployNetwork Read()
    {
        var input = _graph.Input;
        var (output, classifier, map) = _head.Read();
        var found = new List<OnnxBlock>();
        for (var block = _blocks.Read(map); block is not null; block = _blocks.Read(map))
        {
            found.Add(block);
            map = block.Form.Source;
            if (found.Count > MaximumBlocks)
                throw new InvalidDataException("its operations form a cycle");
        }
        if (found.Count == 0)
            throw new InvalidDataException($"{_graph.Producer(map)?.ToString() ?? "nothing"} stands before its pooling, where the last RepVGG block must end");
        found.Reverse();

        var architecture = Architecture(found);
        var normalization = Normalization(map, input.Name, architecture.InputChannels);
        var (height, width) = ImageSize(input, architecture.InputChannels);
        DeployStates.CheckInput(architecture, height, width, normalization);
        classifier ??= new LinearWeights(architecture.FeatureWidth, 0, [], []);
        if (classifier.InputFeatures != architecture.FeatureWidth)
            throw new InvalidDataException($"its classifier reads {classifier.InputFeatures} features of {architecture.FeatureWidth}");
        var blocks = architecture.Blocks.Zip(found, (shape, block) => new DeployBlock(shape, Round(block.Form.Kernel), Round(block.Form.Bias!), block.Squeeze, block.Excite));
        return new DeployNetwork(architecture, height, width, normalization, [.. blocks], classifier) { Output = output };
    }

    private RepVggArchitecture Architecture(List<OnnxBlock> found)
    {
        var shapes = found.ConvertAll(block => new BlockShape(block.Form.InputChannels, block.Form.OutputChannels, block.Form.Stride, block.Form.Groups));
        if (found.Any(block => block.SqueezeExcitation != found[0].SqueezeExcitation))
            throw new InvalidDataException("some of its blocks have squeeze-and-excitation and others do not");
        var architecture = _description?.Architecture ?? ArchitectureInference.FromBlocks(shapes, found[0].SqueezeExcitation);
        foreach (var (i, shape) in architecture.Blocks.Index())
        {
            if (i >= found.Count)
                throw new InvalidDataException($"it has {found.Count} blocks, fewer than its description says");
            var block = found[i];
            var expected = new BlockShape(shape.InputChannels, shape.OutputChannels, shape.Stride, shape.Groups);
            if (shapes[i] != expected || block.SqueezeExcitation != shape.SqueezeExcitation || (block.Squeeze?.OutputFeatures ?? 0) != shape.SqueezeWidth)
                throw new InvalidDataException($"its block {i} is {shapes[i]} with squeeze-and-excitation {block.SqueezeExcitation}; {shape.Name} of {architecture.Name} is {expected} with {shape.SqueezeExcitation}");
        }
        return architecture.Blocks.Count() == found.Count ? architecture : throw new InvalidDataException($"it has {found.Count} blocks, more than its description says");
    }

    private Normalization Normalization(string map, string input, int channels)
    {
        // From the input on, y = scale * x + shift per channel, collected from the last operation back to the first.
        var scale = Enumerable.Repeat(1.0, channels).ToArray();
        var shift = new double[channels];
        for (int steps = 0; map != input; steps++)
        {
            var node = _graph.Producer(map) ?? throw new InvalidDataException($"its first convolution reads '{map}', which does not come from the input");
            bool constantFirst = node.Inputs.Count == 2 && _graph.Constant(node.Inputs[0]) is not null;
            bool known = node.Operation is "Add" or "Mul" || (node.Operation is "Sub" or "Div" && !constantFirst);
            if (!known || node.Inputs.Count != 2 || steps > 16)
                throw new InvalidDataException($"{node} stands between the input and the first convolution, where only a normalisation may");
            float[] values = _graph.PerChannel(node, _graph.ConstantOf(node, constantFirst ? 0 : 1), channels);
            for (int c = 0; c < channels; c++)
            {
                double factor = node.Operation switch { "Mul" => values[c], "Div" => 1.0 / values[c], _ => 1 };
                double term = node.Operation switch { "Add" => values[c], "Sub" => -(double)values[c], _ => 0 };
                shift[c] += scale[c] * term;
                scale[c] *= factor;
            }
            map = _graph.InputOf(node, constantFirst ? 1 : 0);
        }
        return new Normalization([.. scale.Zip(shift, Mean)], [.. scale.Select(value => (float)value)]);

        static float Mean(double scale, double shift) => shift == 0 ? 0 : (float)(-shift / scale);
    }

    private (int Height, int Width) ImageSize(OnnxValue input, int channels)
    {
        if (input.ElementType != SingleType || input.Shape.Count != 4 || input.Shape[1] is { } given && given != channels)
            throw new InvalidDataException($"its input '{input.Name}' is not an image batch of 32-bit floats, [N, {channels}, H, W]");
        return (Side(2, _description?.ImageHeight), Side(3, _description?.ImageWidth));

        int Side(int axis, int? described) => (input.Shape[axis] ?? described) switch
        {
            null => throw new InvalidDataException($"its input '{input.Name}' has no fixed height and width; export it with a fixed image size"),
            > 0 and <= 1 << 16 and var side => (int)side,
            var side => throw new InvalidDataException($"its input '{input.Name}' has a side of {side} pixels"),
        };
    }

    private static ImmutableArray<float> Round(double[] values) => [.. values.Select(value => (float)value)];
}
