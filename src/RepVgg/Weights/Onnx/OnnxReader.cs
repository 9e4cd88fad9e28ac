using System.Collections.Immutable;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.Onnx;

/// <summary>Reads RepVGG networks from ONNX files.</summary>
/// <remarks>
/// Supports files of <see cref="OnnxWriter"/>, and RepVGG graphs of other exporters, such as PyTorch's, in the
/// deploy form or the training form, which is fused. The values of tensors can be in other files in the folder of a file that is read by its path. For any other graph, an exception states the reason. A softmax at the end is left out: the output is logits.
/// Time and memory are in proportion to the size of the file: the weights as an engine holds them, and the constants that operations compute, may each take 4 times
/// the size of the file and 16 MiB, a block may have 64 branches, and 64 operations may follow each other without an activation. Images are limited by
/// <see cref="WeightsFileLimits"/>; these methods use the default limits.
/// </remarks>
public static class OnnxReader
{
    /// <summary>Reads a network.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The network.</returns>
    /// <exception cref="InvalidDataException">The file is not an ONNX file, is damaged, or does not contain a RepVGG network.</exception>
    /// <exception cref="IOException">The file cannot be read, or was changed while it was read.</exception>
    public static DeployNetwork Read(string path) => ByteSource.Use(path, file => Parse(file, model => Reader(model).Read()));

    /// <summary>Reads a network.</summary>
    /// <param name="stream">Stream with the content of the file from the current position on. It is copied to memory first.</param>
    /// <returns>The network.</returns>
    /// <exception cref="InvalidDataException">The data is not an ONNX file, is damaged, or does not contain a RepVGG network.</exception>
    public static DeployNetwork Read(Stream stream) => Parse(ByteSource.Copy(stream), model => Reader(model).Read());

    /// <summary>Reads a quantized network.</summary>
    /// <param name="path">The file, in which pairs of QuantizeLinear and DequantizeLinear say how values are stored (QDQ).</param>
    /// <returns>The network. Layers that are not quantized in the file are left in floating point.</returns>
    /// <exception cref="InvalidDataException">The file is not an ONNX file, is damaged, does not contain a RepVGG network, or is not quantized; or its integers are of kinds that are not supported, which the message names.</exception>
    /// <exception cref="IOException">The file cannot be read, or was changed while it was read.</exception>
    public static QuantizedNetwork ReadQuantized(string path) => ByteSource.Use(path, ReadQuantized);

    /// <summary>Reads a quantized network.</summary>
    /// <param name="stream">Stream with the content of the file from the current position on. It is copied to memory first.</param>
    /// <returns>The network. Layers that are not quantized in the file are left in floating point.</returns>
    /// <exception cref="InvalidDataException">The data is not an ONNX file, is damaged, does not contain a RepVGG network, or is not quantized; or its integers are of kinds that are not supported, which the message names.</exception>
    public static QuantizedNetwork ReadQuantized(Stream stream) => ReadQuantized(ByteSource.Copy(stream));

    /// <summary>Reads a network for segmentation that <see cref="OnnxWriter"/> wrote.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The network, and the names of its classes, which are empty if the file has none.</returns>
    /// <exception cref="InvalidDataException">The file is not an ONNX file, is damaged, or does not contain a network for segmentation of this library.</exception>
    /// <exception cref="IOException">The file cannot be read, or was changed while it was read.</exception>
    public static (SegmentationNetwork Network, ImmutableArray<string> ClassLabels) ReadSegmentation(string path) => ByteSource.Use(path, file => Parse(file, OnnxSegmentation.Read));

    /// <summary>Reads a network for segmentation that <see cref="OnnxWriter"/> wrote.</summary>
    /// <param name="stream">Stream with the content of the file from the current position on. It is copied to memory first.</param>
    /// <returns>The network, and the names of its classes, which are empty if the file has none.</returns>
    /// <exception cref="InvalidDataException">The data is not an ONNX file, is damaged, or does not contain a network for segmentation of this library.</exception>
    public static (SegmentationNetwork Network, ImmutableArray<string> ClassLabels) ReadSegmentation(Stream stream) => Parse(ByteSource.Copy(stream), OnnxSegmentation.Read);

    /// <summary>Reads a network, which may be quantized, whose images are within given limits.</summary>
    /// <returns>The network. One in floating point has no integers.</returns>
    internal static QuantizedNetwork ReadAny(Stream stream, WeightsFileLimits limits) => Parse(ByteSource.Copy(stream), model =>
    {
        var options = new WeightsFileOptions { Limits = limits };
        return OnnxQuantizedGraph.IsQuantized(model) ? ReadQuantized(model, options) : QuantizedNetwork.WithoutIntegers(Reader(model, options).Read());
    });

    /// <summary>Whether an ONNX file is quantized.</summary>
    internal static bool IsQuantized(ByteSource file) => Parse(file, OnnxQuantizedGraph.IsQuantized);

    private static QuantizedNetwork ReadQuantized(ByteSource source) => Parse(source, model => ReadQuantized(model, null));

    private static QuantizedNetwork ReadQuantized(OnnxModel model, WeightsFileOptions? options)
    {
        var quantized = OnnxQuantizedGraph.Remove(model) ?? throw new InvalidDataException("it is not quantized: it has no DequantizeLinear");
        return new OnnxNetworkReader(model, () => Describe(model), options).ReadQuantized(quantized) with { Details = OnnxQuantization.FromProperties(model.Properties) };
    }

    /// <summary>Reads the description of the network in a file, including the class labels.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The description; null if the file has none, as files of other exporters, and for a network for segmentation, see <see cref="ReadSegmentation(string)"/>.</returns>
    /// <exception cref="InvalidDataException">The file is not an ONNX file or is damaged.</exception>
    /// <exception cref="IOException">The file cannot be read, or was changed while it was read.</exception>
    public static ModelDescription? ReadDescription(string path) => ByteSource.Use(path, file => Parse(file, Describe));

    /// <summary>Reads the description of the network in a file, including the class labels.</summary>
    /// <param name="stream">Stream with the content of the file from the current position on. It is copied to memory first.</param>
    /// <returns>The description; null if the file has none, as files of other exporters, and for a network for segmentation, see <see cref="ReadSegmentation(string)"/>.</returns>
    /// <exception cref="InvalidDataException">The data is not an ONNX file or is damaged.</exception>
    public static ModelDescription? ReadDescription(Stream stream) => Parse(ByteSource.Copy(stream), Describe);

    /// <summary>Whether a file with the given first bytes can be an ONNX model: it starts with a field of a model, and is not a TensorFlow SavedModel.</summary>
    internal static bool IsLikely(ReadOnlySpan<byte> start) =>
        !start.StartsWith((ReadOnlySpan<byte>)[8, 1, 0x12]) && start.Length >= 2 && OnnxSchema.Model.IsField(start[0], start[1]);

    /// <summary>Opens a network whose weights stay in the file, which must stay open while they are used, and returns what was assumed and a function that infers the architecture, which the network itself does not need.</summary>
    /// <exception cref="ArgumentException">An option contradicts the graph.</exception>
    /// <exception cref="InvalidDataException">The file is not an ONNX file, is damaged, or does not contain a RepVGG network that an engine can run.</exception>
    internal static (NetworkSource Network, IReadOnlyList<WeightsAssumption> Assumptions, Func<RepVggArchitecture> Architecture) OpenNetwork(ByteSource file, WeightsFileOptions options)
    {
        var (network, reader) = Parse(file, model =>
        {
            var quantized = OnnxQuantizedGraph.Remove(model);
            var reader = new OnnxNetworkReader(model, () => Describe(model), options);
            return (quantized is null ? reader.Open() : NetworkSource.Of(reader.ReadQuantized(quantized)), reader);
        });
        reader.CheckOptions(file.Path);
        return (network, reader.Assumptions, () => Guard(file.Name, reader.Architecture));
    }

    /// <summary>Reads the details of a graph that is part of a chain of transformers; they are empty for other graphs.</summary>
    /// <exception cref="InvalidDataException">The data is not an ONNX file or is damaged.</exception>
    internal static OnnxChainDetails ReadChainDetails(Stream stream) => Guard("The stream", () => OnnxChainDetails.FromProperties(OnnxParser.ParseProperties(stream)));

    /// <summary>Reads the weights of a network, which are in the deploy form. The description is complete: what the metadata does not say follows from the graph.</summary>
    /// <exception cref="InvalidDataException">The file is not an ONNX file, is damaged, or contains a network whose output is the map of a stage.</exception>
    /// <exception cref="ArgumentException">An option contradicts the graph.</exception>
    internal static OpenedWeights OpenWeights(ByteSource file, WeightsFileOptions options)
    {
        var (network, description, reader) = Parse(file, model =>
        {
            var reader = Reader(model, options);
            var read = reader.Read();
            return (read, read.Describe(Describe(model) is { ClassLabels: { IsDefaultOrEmpty: false } labels } ? labels : null), reader);
        });
        reader.CheckOptions(file.Path);
        if (network.Output == NetworkOutput.FeatureMap)
            throw new InvalidDataException($"{file.Name} holds a network whose output is the map of a stage; weights of a network with a classifier or with pooled features are needed.");
        return new OpenedWeights(network.ExportState(), description) { Assumptions = reader.Assumptions };
    }

    /// <summary>Creates a reader of a network in floating point.</summary>
    /// <exception cref="InvalidDataException">The network is quantized.</exception>
    private static OnnxNetworkReader Reader(OnnxModel model, WeightsFileOptions? options = null) => OnnxQuantizedGraph.IsQuantized(model)
        ? throw new InvalidDataException("it is quantized, and weights in floating point are needed here. Use the file from before the quantization")
        : new(model, () => Describe(model), options);

    private static ModelDescription? Describe(OnnxModel model) => ModelDescription.FromProperties(model.Properties, model.CountWeights());

    private static T Parse<T>(ByteSource source, Func<OnnxModel, T> read) => Guard(source.Name, () => read(OnnxParser.Parse(source)));

    private static T Guard<T>(string file, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception error) when (error is InvalidDataException or EndOfStreamException or FormatException or ArgumentException)
        {
            throw new InvalidDataException($"{file} is not an ONNX file of a RepVGG: {MessageText.Reason(error)}.", error);
        }
    }
}
