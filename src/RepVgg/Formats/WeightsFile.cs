using RepVgg.Architectures;
using RepVgg.Formats.Onnx;
using RepVgg.Formats.PyTorch;
using RepVgg.Formats.Safetensors;
using RepVgg.Networks;
using RepVgg.Reparameterization;

namespace RepVgg.Formats;

/// <summary>Weights as a file held them, with what was found out about them.</summary>
/// <param name="State">The weights under the authors' names.</param>
/// <param name="Form">Training or deploy form.</param>
/// <param name="Architecture">What they belong to: as the file says, or else inferred from names and shapes.</param>
/// <param name="Classes">Number of classes.</param>
/// <param name="Description">What the file says about itself; null in files that say nothing.</param>
public sealed record LoadedWeights(StateDict State, WeightsForm Form, RepVggArchitecture Architecture, int Classes, ModelDescription? Description);

/// <summary>Reads weights from any format that this library knows: PyTorch (.pth, .pt, .bin), safetensors, ONNX, and the checkpoints of its own training runs.</summary>
public static class WeightsFile
{
    private const int StartBytes = 16;

    /// <summary>Reads a file; its content decides the format, not its name. timm's names are renamed to the authors'.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The weights. Of an ONNX file, which is always fused, the deploy form; of a training checkpoint, the best weights so far.</returns>
    /// <exception cref="InvalidDataException">The file is of no known format, is damaged, or holds no RepVGG.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static LoadedWeights Read(string path) => Open(path, weights =>
    {
        weights.State.LoadAll();
        return weights;
    });

    /// <summary>Reads a file and fuses it block by block, so that training-form weights are never in memory as a whole.</summary>
    /// <param name="path">The file, in either form.</param>
    /// <param name="imageHeight">Input height in pixels; null for what the file says, or else the architecture's default.</param>
    /// <param name="imageWidth">Input width in pixels; likewise.</param>
    /// <param name="normalization">What the network does to its input first; null for what the file says, or else ImageNet's for three channels.</param>
    /// <returns>The deploy network.</returns>
    /// <exception cref="InvalidDataException">The file is of no known format, is damaged, or holds no RepVGG.</exception>
    /// <exception cref="ArgumentException">The image size or the normalisation does not suit the network, or no normalisation is known.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static DeployNetwork ReadDeployNetwork(string path, int? imageHeight = null, int? imageWidth = null, Normalization? normalization = null) =>
        Open(path, weights => weights.ToDeployNetwork(imageHeight, imageWidth, normalization));

    /// <summary>Uses a file's deploy network, whose weights are read, where the format allows it, when they are asked for.</summary>
    /// <param name="path">The file.</param>
    /// <param name="use">Called once; the weights can be read until it returns.</param>
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
            throw new InvalidDataException($"'{path}' holds a network that gives features and has no classifier; weights of a whole network are needed.");
        var found = OnnxReader.ReadDescription(path) ?? ModelDescription.Of(network);
        return use(new LoadedWeights(DeployStates.Export(network), WeightsForm.Deploy, network.Architecture, network.Classes, found));
    }

    private static bool IsPyTorch(ReadOnlySpan<byte> start) => start.StartsWith("PK"u8) || start is [0x80, <= 5, ..];

    /// <summary>Whether a file is of none of the other formats.</summary>
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
            throw new InvalidDataException($"'{path}' holds no weights of a RepVGG: {error.Message}", error);
        }
    }
}
