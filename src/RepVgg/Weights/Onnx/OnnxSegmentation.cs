using System.Collections.Immutable;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Runtime;
using RepVgg.Runtime.Resampling;

namespace RepVgg.Weights.Onnx;

/// <summary>Writes networks for segmentation as ONNX graphs, and reads those that it wrote.</summary>
/// <remarks>
/// A graph has the argmax and the resizing to the size of the image in it, so that its output is a mask of bytes. Averages over ranges of equal size are AveragePool; where a bin does not divide the map, they are products with
/// constant matrices. A file is read by the names of its weights; its operations must be those that are written for this network, so that a changed file is refused.
/// </remarks>
internal static class OnnxSegmentation
{
    private const string ArchitectureKey = "repvgg.pspnet";
    private const int OldestOpset = 11;

    /// <summary>The first operator set whose Softmax is of one axis.</summary>
    private const int SoftmaxOpset = 13;

    /// <summary>Whether a file is a network for segmentation of this library.</summary>
    public static bool IsIn(IReadOnlyDictionary<string, string> properties) => properties.ContainsKey(ArchitectureKey);

    /// <summary>Creates the model of a network.</summary>
    /// <exception cref="ArgumentException">An option has an invalid value, or the file would be too large.</exception>
    public static ProtoMessage Model(SegmentationNetwork network, SegmentationExportOptions options)
    {
        ArgumentNullException.ThrowIfNull(network);
        Check(network, options);
        var properties = ModelDescription.InputProperties(network.ImageHeight, network.ImageWidth, network.Normalization, options.ClassLabels is null ? [] : [.. options.ClassLabels])
            .Prepend(new(ArchitectureKey, ModelDescription.Json(static (writer, architecture) => architecture.Write(writer), network.Architecture)))
            .Concat(options.Chain.ToProperties());
        return OnnxWriter.Model($"The PSPNet on {network.Architecture.Backbone.Name}", options.OpsetVersion, properties, () => Graph(network, options));
    }

    /// <summary>Reads a network and the names of its classes, which are empty if they are unknown.</summary>
    /// <exception cref="InvalidDataException">The file holds no network for segmentation, or another graph than its description says. The message contains only the reason.</exception>
    /// <exception cref="FormatException">The description is damaged. The message contains only the reason.</exception>
    /// <exception cref="ArgumentException">The weights do not fit the description. The message contains only the reason.</exception>
    public static (SegmentationNetwork Network, ImmutableArray<string> Labels) Read(OnnxModel model)
    {
        if (!IsIn(model.Properties))
            throw new InvalidDataException("it holds no network for segmentation: its description is missing. Networks for segmentation are read from files of this library only");
        var architecture = ModelDescription.Parse(model.Properties, ArchitectureKey, PspNetArchitecture.Read);
        var (height, width, normalization, labels) = ModelDescription.ReadInput(model.Properties, architecture.Backbone.InputChannels);
        if (!labels.IsEmpty && labels.Length != architecture.Classes)
            throw new FormatException($"its description has {labels.Length} names for {architecture.Classes} classes");
        var state = new StateDict();
        foreach (var entry in Naming.PspNetLayout.Deploy(architecture))
        {
            if (!model.Constants.TryGetValue(entry.Name, out var constant) || constant.Floats is not { } values || !constant.Shape.AsSpan().SequenceEqual(entry.Shape))
                throw new InvalidDataException($"its weights '{entry.Name}' of shape [{string.Join(", ", entry.Shape)}] are missing");
            state[entry.Name] = values.Finite(entry.Name);
        }
        var network = SegmentationNetwork.FromDeployForm(architecture, state, height, width, normalization);
        CheckGraph(model, network);
        return (network, labels);
    }

    private static ProtoMessage Graph(SegmentationNetwork network, SegmentationExportOptions options)
    {
        var (architecture, graph) = (network.Architecture, new OnnxGraphBuilder());
        int channels = architecture.Backbone.InputChannels, features = architecture.Backbone.FeatureWidth, branch = architecture.ActualBranchWidth;
        bool isComposed = !options.Chain.Background.IsEmpty;
        graph.Message.Text(OnnxSchema.Graph.Name, $"PSPNet on {architecture.Backbone.Name}");
        graph.Declare(OnnxSchema.Graph.Input, graph.DefineName(options.InputName), options.BatchSize, isComposed ? 1 + channels : channels, network.ImageHeight, network.ImageWidth);
        int?[] area = [network.ImageHeight, network.ImageWidth];
        graph.Declare(OnnxSchema.Graph.Output, options.MaskName, OnnxSchema.Tensor.UInt8, options.OmitOutputBatch ? area : [options.BatchSize, .. area]);
        if (options.LogitsName is { } declared)
            graph.Declare(OnnxSchema.Graph.Output, declared, options.OmitOutputBatch ? [architecture.Classes, .. area] : [options.BatchSize, architecture.Classes, .. area]);

        string pixels = isComposed ? OnnxComposition.Write(graph, options.InputName, options.Chain.Background) : options.InputName;
        string map = OnnxWriter.Normalize(graph, pixels, network.Normalization);
        foreach (var block in network.Backbone.Blocks)
            map = OnnxWriter.Block(graph, block, map, OnnxPrecision.Single);

        var (height, width) = architecture.MapSize(network.ImageHeight, network.ImageWidth);
        string[] parts = [map, .. architecture.Bins.Select(Branch)];
        string head = OnnxWriter.Convolve(
            graph, "cls/0/conv",
            [graph.Node("Concat", "ppm/concat", parts, ("axis", 1)), graph.Constant("cls.0.weight", [architecture.HeadWidth, architecture.ConcatenatedWidth, 3, 3], network.Head.Kernel, OnnxPrecision.Single), graph.Constant("cls.0.bias", [architecture.HeadWidth], network.Head.Bias, OnnxPrecision.Single)],
            3, network.Head.Shape.Geometry.Of(3, 3));
        string logits = OnnxWriter.Convolve1x1(graph, "cls/4/conv", "cls.4", graph.Node("Relu", "cls/0/relu", [head]), network.Classifier, OnnxPrecision.Single);
        string? second = options.OmitOutputBatch ? null : options.LogitsName;
        string resized = Resize(second is not null && !options.Softmax ? second : "logits/resize", "logits", logits, architecture.Classes, network.ImageHeight, network.ImageWidth);
        string scores = options.Softmax ? graph.Node("Softmax", second ?? "scores/softmax", [resized], ("axis", 1)) : resized;
        string best = graph.Node("ArgMax", "mask/argmax", [resized], ("axis", 1), ("keepdims", 0));
        if (options.OmitOutputBatch)
        {
            best = graph.Node("Reshape", "mask/reshape", [best, graph.Integers("mask.shape", [network.ImageHeight, network.ImageWidth])]);
            if (options.LogitsName is { } name)
                graph.Node("Reshape", name, [scores, graph.Integers("logits.shape", [architecture.Classes, network.ImageHeight, network.ImageWidth])]);
        }
        graph.Node("Cast", options.MaskName, [best], ("to", OnnxSchema.Tensor.UInt8));
        return graph.Message;

        string Branch(int bin, int index)
        {
            string path = $"ppm/features/{index}";
            string reduced = OnnxWriter.Convolve1x1(graph, $"{path}/conv", Naming.PspNetLayout.Branch(index), Pool(path, bin), network.Branches[index], OnnxPrecision.Single);
            return Resize($"{path}/resize", $"ppm.{index}", graph.Node("Relu", $"{path}/relu", [reduced]), branch, height, width);
        }

        string Pool(string path, int bin)
        {
            if (height % bin == 0 && width % bin == 0)
                return graph.Node("AveragePool", $"{path}/pool", [map], ("kernel_shape", new[] { height / bin, width / bin }), ("strides", new[] { height / bin, width / bin }));
            // [bin, H] x [N, C, H, W] x [W, bin].
            string rows = graph.Constant($"{path}.rows", [bin, height], Matrix(AxisWeights.AdaptiveMean(height, bin), isTransposed: false), OnnxPrecision.Single);
            string columns = graph.Constant($"{path}.columns", [width, bin], Matrix(AxisWeights.AdaptiveMean(width, bin), isTransposed: true), OnnxPrecision.Single);
            return graph.Node("MatMul", $"{path}/pool", [rows, graph.Node("MatMul", $"{path}/pool_columns", [map, columns])]);
        }

        string Resize(string output, string constants, string input, int depth, int rows, int columns)
        {
            string sizes;
            if (options.BatchSize is { } batch)
            {
                sizes = graph.Integers($"{constants}.sizes", [batch, depth, rows, columns]);
            }
            else
            {
                // The number of images is read from the map.
                string shape = graph.Node("Shape", $"{output}/shape", [input]);
                string first = graph.Node("Gather", $"{output}/images", [shape, graph.Integers($"{constants}.first", [0])], ("axis", 0));
                sizes = graph.Node("Concat", $"{output}/sizes", [first, graph.Integers($"{constants}.sizes", [depth, rows, columns])], ("axis", 0));
            }
            // Operator sets before 13 require the inputs roi and scales, which can be empty tensors.
            string empty = options.OpsetVersion >= 13 ? "" : graph.Constant($"{constants}.empty", [0], [], OnnxPrecision.Single);
            return graph.Node("Resize", output, [input, empty, empty, sizes], ("mode", "linear"), ("coordinate_transformation_mode", architecture.AlignCorners ? "align_corners" : "half_pixel"));
        }
    }

    private static ImmutableArray<float> Matrix(AxisWeights weights, bool isTransposed)
    {
        var matrix = new float[weights.Outputs * weights.Inputs];
        for (int output = 0; output < weights.Outputs; output++)
        {
            for (int i = 0; i < weights.Weights(output).Length; i++)
            {
                int input = weights.First(output) + i;
                matrix[isTransposed ? input * weights.Outputs + output : output * weights.Inputs + input] = weights.Weights(output)[i];
            }
        }
        return [.. matrix];
    }

    /// <summary>Checks that a graph has the operations that are written for a network, with the same options.</summary>
    private static void CheckGraph(OnnxModel model, SegmentationNetwork network)
    {
        if (model.Inputs.FirstOrDefault(value => !model.Constants.ContainsKey(value.Name)) is not { } input || model.Outputs.Count is not (1 or 2) || model.Outputs[0].Shape.Count < 2)
            throw new InvalidDataException("its inputs and outputs are not those of a network for segmentation");
        bool omitsBatch = model.Outputs[0].Shape.Count == 2;
        var options = new SegmentationExportOptions
        {
            InputName = input.Name,
            MaskName = model.Outputs[0].Name,
            LogitsName = model.Outputs.Count > 1 ? model.Outputs[1].Name : null,
            Softmax = model.Outputs.Count > 1 && model.Nodes.Any(node => node.Operation == "Softmax"),
            BatchSize = input.Shape.Count > 0 && input.Shape[0] is { } batch ? (int)Math.Clamp(batch, 1, int.MaxValue) : null,
            OmitOutputBatch = omitsBatch,
            OpsetVersion = model.OperatorSet ?? OldestOpset,
            Chain = OnnxChainDetails.FromProperties(model.Properties),
        };
        using var stream = new MemoryStream();
        Model(network, options).WriteTo(stream);
        stream.Position = 0;
        var expected = OnnxParser.Parse(Runtime.Files.ByteSource.Of(stream));
        if (!expected.Nodes.Select(Describe).SequenceEqual(model.Nodes.Select(Describe)))
        {
            int at = expected.Nodes.Zip(model.Nodes).TakeWhile(pair => Describe(pair.First) == Describe(pair.Second)).Count();
            throw new InvalidDataException($"its graph is not that of its description: {(at < model.Nodes.Count ? $"{model.Nodes[at]} is another operation, or has other inputs or attributes" : "operations are missing")}");
        }
        foreach (var (name, constant) in expected.Constants)
        {
            bool isEqual = model.Constants.TryGetValue(name, out var found) && found.Shape.AsSpan().SequenceEqual(constant.Shape)
                && (constant.Floats is null ? found.Integers is { } integers && integers.AsSpan().SequenceEqual(constant.Integers) : found.Floats is { } values && values.Read().AsSpan().SequenceEqual(constant.Floats.Read()));
            if (!isEqual)
                throw new InvalidDataException($"its constant '{MessageText.Printable(name)}' is not that of its description");
        }
    }

    private static string Describe(OnnxNode node) => string.Join('|', [node.Domain, node.Operation, string.Join(',', node.Inputs), string.Join(',', node.Outputs), .. node.Attributes.OrderBy(pair => pair.Key, StringComparer.Ordinal)
        .Select(pair => FormattableString.Invariant($"{pair.Key}={pair.Value.Integer}{pair.Value.Text}{pair.Value.Float}[{string.Join(',', pair.Value.Integers)}]"))]);

    private static void Check(SegmentationNetwork network, SegmentationExportOptions options)
    {
        network.Check();
        string[] names = [options.InputName, options.MaskName, options.LogitsName ?? "logits"];
        if (names.Any(string.IsNullOrWhiteSpace))
            throw new ArgumentException("The input and the outputs of an ONNX file need names.", nameof(options));
        if (options.BatchSize is < 1)
            throw new ArgumentException($"The batch size is {options.BatchSize}, not at least 1.", nameof(options));
        if (options.OpsetVersion is < OldestOpset or > OnnxWriter.NewestOpset)
            throw new ArgumentException($"Operator set {options.OpsetVersion} is not supported for segmentation; choose {OldestOpset} to {OnnxWriter.NewestOpset}.", nameof(options));
        if (options.Softmax && (options.LogitsName is null || options.OpsetVersion < SoftmaxOpset))
            throw new ArgumentException($"Softmax needs LogitsName, the name of the second output, and operator set {SoftmaxOpset} or later.", nameof(options));
        if (options.OmitOutputBatch && options.BatchSize != 1)
            throw new ArgumentException("Outputs without a batch dimension require a batch size of 1.", nameof(options));
        if (options.ClassLabels is { } labels && labels.Count != network.Classes)
            throw new ArgumentException($"{labels.Count} names were given for {network.Classes} classes.", nameof(options));
        if (!options.Chain.Background.IsEmpty && options.Chain.Background.Length != network.Architecture.Backbone.InputChannels)
            throw new ArgumentException($"The background has {options.Chain.Background.Length} values for {network.Architecture.Backbone.InputChannels} channels.", nameof(options));
    }
}
