using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Weights.Checkpoint;
using RepVgg.Weights.Naming;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;

namespace RepVgg.Weights.Files;

/// <summary>Weights that were read from a file, with their form and architecture.</summary>
/// <param name="State">The weights under the authors' names.</param>
/// <param name="Form">The form of the weights, training or deploy.</param>
/// <param name="Architecture">The architecture: that of the file's description, or inferred from the names and shapes of the weights if the file has none.</param>
/// <param name="Classes">Number of classes.</param>
/// <param name="Description">The description in the file; null if the file has none.</param>
public sealed record LoadedWeights(StateDict State, WeightsForm Form, RepVggArchitecture Architecture, int Classes, ModelDescription? Description);

/// <summary>Reads weights from files of any supported format: PyTorch (.pth, .pt, .bin), safetensors, ONNX, and this library's training checkpoints.</summary>
public static class WeightsFile
{
    private const int StartBytes = 16;

    /// <summary>Reads a file. The format is detected from the content, not from the file name. Names of the timm library are converted to those of the RepVGG authors' code.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The weights. For an ONNX file, they are always the deploy form; for a training checkpoint, the best weights so far.</returns>
    /// <exception cref="InvalidDataException">The file has an unsupported format, is damaged, or does not contain a RepVGG network.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static LoadedWeights Read(string path) => Open(path, weights =>
    {
        weights.State.LoadAll();
        return weights;
    });

    /// <summary>Reads a file and fuses the weights block by block, so that the weights of the training form are not all in memory at the same time.</summary>
    /// <param name="path">Path of the file, which contains the training or the deploy form.</param>
    /// <param name="imageHeight">Input height in pixels; null uses that of the file, or the architecture's default if the file has none.</param>
    /// <param name="imageWidth">Input width in pixels; null uses that of the file, or the architecture's default if the file has none.</param>
    /// <param name="normalization">Normalization of the input; null uses that of the file, or ImageNet's if the file has none and the input has three channels.</param>
    /// <returns>The deploy network.</returns>
    /// <exception cref="InvalidDataException">The file has an unsupported format, is damaged, or does not contain a RepVGG network.</exception>
    /// <exception cref="ArgumentException">The image size or the normalisation does not suit the network, or the normalisation is unknown.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static DeployNetwork ReadDeployNetwork(string path, int? imageHeight = null, int? imageWidth = null, Normalization? normalization = null) =>
        Open(path, weights => weights.ToDeployNetwork(imageHeight, imageWidth, normalization));

    /// <summary>Calls a function with the deploy network of a file. For an ONNX file, the weights are read from the file when they are used.</summary>
    /// <param name="path">The file.</param>
    /// <param name="use">The function, called once. The weights can be read until it returns.</param>
    internal static T Use<T>(string path, Func<NetworkSource, T> use)
        where T : class
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        return IsOnnx(path) ? OnnxReader.Use(path, use) : use(NetworkSource.Of(ReadDeployNetwork(path)));
    }

    private static T Open<T>(string path, Func<LoadedWeights, T> use)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16);
        Span<byte> start = stackalloc byte[StartBytes];
        start = start[..stream.ReadAtLeast(start, StartBytes, throwOnEndOfStream: false)];
        stream.Position = 0;
        if (SafetensorsHeader.IsLikely(start, stream.Length))
        {
            return SafetensorsReader.Map(path, (source, file) =>
            {
                var (state, description) = SafetensorsReader.Open(source, file);
                return use(Describe(path, state, description));
            });
        }
        if (start.StartsWith(CheckpointFile.Magic))
        {
            var (state, description) = CheckpointFile.ReadWeights(path);
            return use(Describe(path, state, description));
        }
        if (IsPyTorch(start))
            return use(Describe(path, PthReader.Open(stream, $"'{path}'"), null));
        var network = OnnxReader.Read(path);
        if (network.Output != NetworkOutput.Logits)
            throw new InvalidDataException($"'{path}' holds a network without a classifier, whose output is features; weights of a network with a classifier are needed.");
        var found = OnnxReader.ReadDescription(path) ?? ModelDescription.Of(network);
        return use(new LoadedWeights(DeployStates.Export(network), WeightsForm.Deploy, network.Architecture, network.Classes, found));
    }

    private static bool IsPyTorch(ReadOnlySpan<byte> start) => start.StartsWith("PK"u8) || start is [0x80, <= 5, ..];

    /// <summary>Whether a file is read as ONNX, which is the case if it has none of the other formats.</summary>
    private static bool IsOnnx(string path)
    {
        using var file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        Span<byte> start = stackalloc byte[StartBytes];
        start = start[..RandomAccess.Read(file, start, 0)];
        return !SafetensorsHeader.IsLikely(start, RandomAccess.GetLength(file)) && !start.StartsWith(CheckpointFile.Magic) && !IsPyTorch(start);
    }

    private static LoadedWeights Describe(string path, StateDict state, ModelDescription? description)
    {
        try
        {
            if (TimmNames.AreIn(state))
                state = TimmNames.ToAuthors(state);
            var form = StateInference.FormOf(state);
            int classes = StateLayout.ClassesOf(state);
            var architecture = description?.Architecture ?? StateInference.Infer(state);
            return new LoadedWeights(state, form, architecture, classes, description);
        }
        catch (ArgumentException error)
        {
            throw new InvalidDataException($"'{path}' holds no weights of a RepVGG network: {error.Message}", error);
        }
    }
}
