using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.Onnx;

/// <summary>Writes deploy networks as ONNX files. The input is raw pixels, the output is logits or features; the normalisation is part of the graph.</summary>
/// <remarks>
/// The weights of convolutions have the names of the RepVGG authors' code. The metadata of the file contains the
/// <see cref="ModelDescription"/>, so that <see cref="OnnxReader"/> reads the same network.
/// </remarks>
public static class OnnxWriter
{
    /// <summary>The versions of the operator set that can be written.</summary>
    internal const int OldestOpset = 9, NewestOpset = 21;

    /// <summary>Name of the output of <see cref="OnnxExportOptions.ActivationMap"/>.</summary>
    private const string ActivationMapName = "activation_map";

    /// <summary>Writes a file. The file is created or replaced only when it is complete.</summary>
    /// <param name="network">The network.</param>
    /// <param name="path">The file.</param>
    /// <param name="options">The export options; null for the defaults.</param>
    /// <exception cref="ArgumentException">An option has an invalid value or does not suit the network, or the file would be too large.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(DeployNetwork network, string path, OnnxExportOptions? options = null)
    {
        var model = Model(network, options ?? new OnnxExportOptions());
        AtomicFile.Write(path, model.WriteTo);
    }

    /// <summary>Writes to a stream.</summary>
    /// <param name="network">The network.</param>
    /// <param name="stream">Receives the file's content.</param>
    /// <param name="options">The export options; null for the defaults.</param>
    /// <exception cref="ArgumentException">An option has an invalid value or does not suit the network, or the file would be too large.</exception>
    public static void Write(DeployNetwork network, Stream stream, OnnxExportOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(stream);
        Model(network, options ?? new OnnxExportOptions()).WriteTo(stream);
    }

    /// <summary>Writes a network for segmentation: the output is the class of every pixel. The file is created or replaced only when it is complete.</summary>
    /// <param name="network">The network.</param>
    /// <param name="path">The file.</param>
    /// <param name="options">The export options; null for the defaults.</param>
    /// <exception cref="ArgumentException">An option has an invalid value or does not suit the network, or the file would be too large.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(SegmentationNetwork network, string path, SegmentationExportOptions? options = null)
    {
        var model = OnnxSegmentation.Model(network, options ?? new SegmentationExportOptions());
        AtomicFile.Write(path, model.WriteTo);
    }

    /// <summary>Writes a network for segmentation to a stream, as <see cref="Write(SegmentationNetwork, string, SegmentationExportOptions)"/> does to a file.</summary>
    /// <param name="network">The network.</param>
    /// <param name="stream">Receives the file's content.</param>
    /// <param name="options">The export options; null for the defaults.</param>
    /// <exception cref="ArgumentException">An option has an invalid value or does not suit the network, or the file would be too large.</exception>
    public static void Write(SegmentationNetwork network, Stream stream, SegmentationExportOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(stream);
        OnnxSegmentation.Model(network, options ?? new SegmentationExportOptions()).WriteTo(stream);
    }

    /// <summary>
    /// Writes a quantized network. The file is created or replaced only when it is complete. Integers are in pairs of QuantizeLinear and DequantizeLinear (QDQ), of which
    /// ONNX Runtime makes integer convolutions; operator set 13 or newer is needed.
    /// </summary>
    /// <param name="network">The network.</param>
    /// <param name="path">The file.</param>
    /// <param name="options">The export options; null for the defaults.</param>
    /// <exception cref="ArgumentException">An option has an invalid value or does not suit the network, or the parts of the network do not fit together.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(QuantizedNetwork network, string path, OnnxExportOptions? options = null)
    {
        var model = Model(network, options ?? new OnnxExportOptions());
        AtomicFile.Write(path, model.WriteTo);
    }

    /// <summary>Writes a quantized network to a stream, as <see cref="Write(QuantizedNetwork, string, OnnxExportOptions)"/> does to a file.</summary>
    /// <param name="network">The network.</param>
    /// <param name="stream">Receives the file's content.</param>
    /// <param name="options">The export options; null for the defaults.</param>
    /// <exception cref="ArgumentException">An option has an invalid value or does not suit the network, or the parts of the network do not fit together.</exception>
    public static void Write(QuantizedNetwork network, Stream stream, OnnxExportOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(stream);
        Model(network, options ?? new OnnxExportOptions()).WriteTo(stream);
    }

    private static ProtoMessage Model(DeployNetwork network, OnnxExportOptions options)
    {
        ArgumentNullException.ThrowIfNull(network);
        return Model(QuantizedNetwork.WithoutIntegers(network), options);
    }

    private static ProtoMessage Model(QuantizedNetwork network, OnnxExportOptions options)
    {
        ArgumentNullException.ThrowIfNull(network);
        Check(options, network);
        var description = network.Describe(options.ClassLabels);
        return Model(network.Architecture.Name, options.OpsetVersion, description.ToProperties().Concat(options.Chain.ToProperties()).Concat(OnnxQuantization.ToProperties(network.Details)), () => Graph(network, options));
    }

    /// <summary>Creates the message of a model.</summary>
    /// <param name="name">Name of the network, for messages.</param>
    /// <param name="opsetVersion">Version of the operator set.</param>
    /// <param name="properties">The metadata.</param>
    /// <param name="graph">Creates the graph.</param>
    internal static ProtoMessage Model(string name, int opsetVersion, IEnumerable<KeyValuePair<string, string>> properties, Func<ProtoMessage> graph)
    {
        var model = new ProtoMessage();
        model.Integer(OnnxSchema.Model.IrVersion, IrVersion(opsetVersion));
        model.Text(OnnxSchema.Model.ProducerName, "RepVgg");
        var opset = new ProtoMessage();
        opset.Text(OnnxSchema.Opset.Domain, "");
        opset.Integer(OnnxSchema.Opset.Version, opsetVersion);
        model.Message(OnnxSchema.Model.OpsetImport, opset);
        foreach (var (key, value) in properties)
        {
            var property = new ProtoMessage();
            property.Text(OnnxSchema.Property.Key, key);
            property.Text(OnnxSchema.Property.Value, value);
            model.Message(OnnxSchema.Model.Metadata, property);
        }
        // The graph is written last, so that a truncated file never contains a complete graph.
        model.Message(OnnxSchema.Model.Graph, graph());
        if (model.Length > int.MaxValue)
            throw new ArgumentException($"{name} takes {model.Length} bytes; an ONNX file has at most {int.MaxValue}.");
        return model;
    }

    private static ProtoMessage Graph(QuantizedNetwork network, OnnxExportOptions options)
    {
        var graph = new OnnxGraphBuilder();
        var architecture = network.Architecture;
        int channels = architecture.InputChannels;
        bool isComposed = !options.Chain.Background.IsEmpty;
        var crop = options.Chain.Crop;
        bool half = options.Precision == OnnxPrecision.Half;
        graph.Message.Text(OnnxSchema.Graph.Name, architecture.Name);
        graph.Declare(OnnxSchema.Graph.Input, graph.DefineName(options.InputName), options.BatchSize, isComposed ? 1 + channels : channels, crop?.InputHeight ?? network.ImageHeight, crop?.InputWidth ?? network.ImageWidth);
        graph.Declare(OnnxSchema.Graph.Output, options.OutputName, options.OmitOutputBatch ? [.. network.OutputShape] : [options.BatchSize, .. network.OutputShape]);
        if (options.ActivationMap)
            graph.Declare(OnnxSchema.Graph.Output, ActivationMapName, options.OmitOutputBatch ? [.. ActivationMapShape(network)] : [options.BatchSize, .. ActivationMapShape(network)]);

        string pixels = isComposed ? OnnxComposition.Write(graph, options.InputName, options.Chain.Background) : options.InputName;
        pixels = crop?.Write(graph, pixels) ?? pixels;
        string map = Normalize(graph, pixels, network.Normalization);
        if (half)
            map = graph.Node("Cast", "to_half", [map], ("to", OnnxSchema.Tensor.Float16));
        var stored = network.Input;
        if (stored is { } input)
            map = OnnxQuantization.Store(graph, "input", map, input);
        foreach (var block in network.Blocks)
        {
            map = block.Convolution is null ? Block(graph, block.Float!, map, options.Precision) : Block(graph, block, map, stored!.Value);
            stored = block.Output;
            if (stored is { } output)
                map = OnnxQuantization.Store(graph, $"{block.Shape.Name}.output", map, output);
        }
        string features = map;

        // The last operation of the head has the name of the output; the other operations have fixed names.
        var end = new List<(string Name, Func<string, string, string> Add)>();
        if (network.Output == NetworkOutput.Logits)
        {
            map = graph.Node("Flatten", "flatten", [graph.Node("GlobalAveragePool", "pool", [map])], ("axis", 1));
            string weight, bias;
            if (network is { QuantizedClassifier: { } integers, Pooled: { } pooled })
            {
                map = OnnxQuantization.Store(graph, "pooled", map, pooled);
                (weight, bias) = OnnxQuantization.Weights(graph, "linear", [network.Classes, architecture.FeatureWidth], integers, pooled);
            }
            else
            {
                weight = graph.Constant("linear.weight", [network.Classes, architecture.FeatureWidth], network.Classifier.Weight, options.Precision);
                bias = graph.Constant("linear.bias", [network.Classes], network.Classifier.Bias, options.Precision);
            }
            end.Add(("linear", (input, output) => graph.Node("Gemm", output, [input, weight, bias], ("transB", 1))));
        }
        else if (network.Output == NetworkOutput.PooledFeatures)
        {
            map = graph.Node("GlobalAveragePool", "pool", [map]);
            end.Add(("flatten", (input, output) => graph.Node("Flatten", output, [input], ("axis", 1))));
        }
        if (half)
            end.Add(("to_single", (input, output) => graph.Node("Cast", output, [input], ("to", OnnxSchema.Tensor.Float))));
        if (options.Softmax)
            end.Add(("softmax", (input, output) => graph.Node("Softmax", output, [input], ("axis", 1))));
        if (options.OmitOutputBatch)
            end.Add(("single", (input, output) => graph.Node("Reshape", output, [input, graph.Integers("single.shape", network.OutputShape.AsSpan())])));
        if (end.Count == 0)
            end.Add(("map", (input, output) => graph.Node("Identity", output, [input])));
        AddAll(end, map, options.OutputName);
        if (options.ActivationMap)
            AddActivationMap(graph, network, features, options);
        return graph.Message;
    }

    /// <summary>Adds the class activation maps: the linear layer as a 1x1 convolution of the last map, without the bias. It shares the weights of the layer.</summary>
    private static void AddActivationMap(OnnxGraphBuilder graph, QuantizedNetwork network, string features, OnnxExportOptions options)
    {
        int[] shape = [network.Classes, network.Architecture.FeatureWidth, 1, 1];
        string kernel = graph.Node("Reshape", $"{ActivationMapName}/weight", ["linear.weight", graph.Integers($"{ActivationMapName}.weight.shape", shape)]);
        var end = new List<(string Name, Func<string, string, string> Add)>
        {
            ("conv", (input, output) => graph.Node("Conv", output, [input, kernel], ("kernel_shape", new[] { 1, 1 }))),
        };
        if (options.Precision == OnnxPrecision.Half)
            end.Add(("to_single", (input, output) => graph.Node("Cast", output, [input], ("to", OnnxSchema.Tensor.Float))));
        if (options.OmitOutputBatch)
            end.Add(("single", (input, output) => graph.Node("Reshape", output, [input, graph.Integers($"{ActivationMapName}.single.shape", ActivationMapShape(network))])));
        AddAll([.. end.Select(operation => ($"{ActivationMapName}/{operation.Name}", operation.Add))], features, ActivationMapName);
    }

    private static int[] ActivationMapShape(QuantizedNetwork network) => [network.Classes, .. (network with { Output = NetworkOutput.FeatureMap }).OutputShape[1..]];

    /// <summary>Adds the normalisation of pixels.</summary>
    internal static string Normalize(OnnxGraphBuilder graph, string pixels, Normalization normalization)
    {
        int[] perChannel = [1, normalization.Mean.Length, 1, 1];
        string map = graph.Node("Sub", "normalize/sub", [pixels, graph.Constant("normalize.mean", perChannel, normalization.Mean, OnnxPrecision.Single)]);
        return graph.Node("Mul", "normalize/mul", [map, graph.Constant("normalize.scale", perChannel, normalization.Scale, OnnxPrecision.Single)]);
    }

    /// <summary>Adds operations one after the other. The last one has the name of the output.</summary>
    private static void AddAll(List<(string Name, Func<string, string, string> Add)> operations, string value, string output)
    {
        foreach (var (i, (name, add)) in operations.Index())
            value = add(value, i == operations.Count - 1 ? output : name);
    }

    /// <summary>Adds a block.</summary>
    internal static string Block(OnnxGraphBuilder graph, DeployBlock block, string map, OnnxPrecision precision)
    {
        string weights = $"{block.Shape.Name}.rbr_reparam";
        string kernel = graph.Constant($"{weights}.weight", KernelShape(block.Shape), block.Kernel, precision), bias = graph.Constant($"{weights}.bias", [block.Shape.OutputChannels], block.Bias, precision);
        return Activate(graph, block.Shape, Convolve(graph, block.Shape, map, kernel, bias), null, block.Squeeze, block.Excite, precision);
    }

    private static string Block(OnnxGraphBuilder graph, QuantizedBlock block, string map, QuantizationParameters input)
    {
        var (kernel, bias) = OnnxQuantization.Weights(graph, $"{block.Shape.Name}.rbr_reparam", KernelShape(block.Shape), block.Convolution!, input);
        return Activate(graph, block.Shape, Convolve(graph, block.Shape, map, kernel, bias), block.BeforeSqueeze, block.Squeeze, block.Excite, OnnxPrecision.Single);
    }

    /// <summary>Adds what follows the convolution of a block: ReLU and squeeze-and-excitation.</summary>
    private static string Activate(
        OnnxGraphBuilder graph, BlockSpec shape, string output, QuantizationParameters? beforeSqueeze, LinearWeights? squeeze, LinearWeights? excite, OnnxPrecision precision)
    {
        string path = Path(shape);
        if (shape.SqueezeExcitation != SqueezeExcitation.BeforeRelu)
            output = graph.Node("Relu", $"{path}/relu", [output]);
        if (shape.SqueezeExcitationName is not { } name)
            return output;

        if (beforeSqueeze is { } stored)
            output = OnnxQuantization.Store(graph, $"{name}.input", output, stored);
        string gate = graph.Node("GlobalAveragePool", $"{path}/se/pool", [output]);
        gate = Convolve1x1(graph, $"{path}/se/down", $"{name}.down", gate, squeeze!, precision);
        gate = graph.Node("Relu", $"{path}/se/relu", [gate]);
        gate = Convolve1x1(graph, $"{path}/se/up", $"{name}.up", gate, excite!, precision);
        gate = graph.Node("Sigmoid", $"{path}/se/sigmoid", [gate]);
        output = graph.Node("Mul", $"{path}/se/mul", [output, gate]);
        return shape.SqueezeExcitation == SqueezeExcitation.BeforeRelu ? graph.Node("Relu", $"{path}/relu", [output]) : output;
    }

    private static string Path(BlockSpec shape) => shape.Name.Replace('.', '/');

    private static int[] KernelShape(BlockSpec shape) => [shape.OutputChannels, shape.InputChannels / shape.Groups, 3, 3];

    private static string Convolve(OnnxGraphBuilder graph, BlockSpec shape, string input, string kernel, string bias) =>
        Convolve(graph, $"{Path(shape)}/conv", [input, kernel, bias], 3, shape.Geometry.Of(3, 3));

    internal static string Convolve1x1(OnnxGraphBuilder graph, string output, string weights, string input, LinearWeights layer, OnnxPrecision precision)
    {
        string kernel = graph.Constant($"{weights}.weight", [layer.OutputFeatures, layer.InputFeatures, 1, 1], layer.Weight, precision);
        return Convolve(graph, output, [input, kernel, graph.Constant($"{weights}.bias", [layer.OutputFeatures], layer.Bias, precision)], 1, ConvolutionGeometry.Padded(stride: 1, padding: 0, groups: 1));
    }

    /// <summary>Adds a convolution.</summary>
    internal static string Convolve(OnnxGraphBuilder graph, string output, string[] inputs, int size, ConvolutionGeometry geometry) => graph.Node(
        "Conv", output, inputs,
        ("kernel_shape", new[] { size, size }), ("strides", new[] { geometry.Stride, geometry.Stride }),
        ("pads", new[] { geometry.Top, geometry.Left, geometry.Bottom, geometry.Right }), ("dilations", new[] { geometry.Dilation, geometry.Dilation }), ("group", geometry.Groups));

    private static void Check(OnnxExportOptions options, QuantizedNetwork network)
    {
        if (string.IsNullOrWhiteSpace(options.InputName) || string.IsNullOrWhiteSpace(options.OutputName))
            throw new ArgumentException("The input and the output of an ONNX file need names.", nameof(options));
        if (options.BatchSize is < 1)
            throw new ArgumentException($"The batch size is {options.BatchSize}, not at least 1.", nameof(options));
        if (options.OpsetVersion is < OldestOpset or > NewestOpset)
            throw new ArgumentException($"Operator set {options.OpsetVersion} is not supported; choose {OldestOpset} to {NewestOpset}.", nameof(options));
        if (options.OmitOutputBatch && options.BatchSize != 1)
            throw new ArgumentException("An output without a batch dimension requires a batch size of 1.", nameof(options));
        if (options.Softmax && network.Output != NetworkOutput.Logits)
            throw new ArgumentException("A softmax requires logits, but the output of this network is features.", nameof(options));
        if (options.ActivationMap && network.Output != NetworkOutput.Logits)
            throw new ArgumentException("Class activation maps require a classifier, but the output of this network is features.", nameof(options));
        if (!options.Chain.Background.IsEmpty && options.Chain.Background.Length != network.Architecture.InputChannels)
            throw new ArgumentException($"The background has {options.Chain.Background.Length} values for {network.Architecture.InputChannels} channels.", nameof(options));
        if (options.Chain.Crop is { } crop && (!crop.IsValid || (crop.Height, crop.Width) != (network.ImageHeight, network.ImageWidth) || options.OpsetVersion < OnnxCrop.OldestOpset))
            throw new ArgumentException($"The crop {crop} cannot be written for images of {network.ImageHeight} x {network.ImageWidth} in operator set {options.OpsetVersion}.", nameof(options));
        bool isQuantized = network.HasIntegers;
        // Throws if the parts of the network do not fit together.
        if (isQuantized)
            _ = NetworkSource.Of(network);
        if (isQuantized && options.OpsetVersion < OnnxQuantization.OldestOpset)
            throw new ArgumentException($"A quantized network needs operator set {OnnxQuantization.OldestOpset} or newer, not {options.OpsetVersion}: scales per channel are not part of older ones.", nameof(options));
        if (isQuantized && options.Precision != OnnxPrecision.Single)
            throw new ArgumentException("A quantized network has weights of 8 bits; the rest of it is written with 32-bit floats only.", nameof(options));
        if (options.ActivationMap && network.QuantizedClassifier is not null)
            throw new ArgumentException("Class activation maps require a classifier in floating point, but that of this network is quantized.", nameof(options));
        if (!Enum.IsDefined(options.Precision))
            throw new ArgumentException($"The precision {(int)options.Precision} is not a value of OnnxPrecision.", nameof(options));
    }

    /// <summary>Gets the version of the ONNX file format (IR) that was released with an operator set version, so that old runtimes accept files with old operator sets.</summary>
    private static int IrVersion(int opset) => opset switch
    {
        9 => 4,
        10 => 5,
        11 => 6,
        <= 14 => 7,
        <= 18 => 8,
        <= 20 => 9,
        _ => 10,
    };
}
