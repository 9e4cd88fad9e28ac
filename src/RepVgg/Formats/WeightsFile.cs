using RepVgg.Architectures;
using RepVgg.Formats.Onnx;
using RepVgg.Formats.PyTorch;
using RepVgg.Formats.Safetensors;
using RepVgg.Networks;

namespace RepVgg.Formats;

/// <summary>Weights as a file held them, with what was found out about them.</summary>
/// <param name="State">The weights under the authors' names.</param>
/// <param name="Form">Training or deploy form.</param>
/// <param name="Architecture">What they belong to: as the file says, or else inferred from names and shapes.</param>
/// <param name="Classes">Number of classes.</param>
/// <param name="Description">What the file says about itself; null in files that say nothing.</param>
public sealed record LoadedWeights(StateDict State, WeightsForm Form, RepVggArchitecture Architecture, int Classes, ModelDescription? Description);

/// <summary>Reads weights from any format that this library knows: PyTorch (.pth, .pt, .bin), safetensors, ONNX.</summary>
public static class WeightsFile
{
    private const int StartBytes = 16;

    /// <summary>Reads a file; its content decides the format, not its name. timm's names are renamed to the authors'.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The weights. Of an ONNX file, which is always fused, the deploy form.</returns>
    /// <exception cref="InvalidDataException">The file is of no known format, is damaged, or holds no RepVGG.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static LoadedWeights Read(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        Span<byte> start = stackalloc byte[StartBytes];
        long length;
        using (var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read))
        {
            length = stream.Length;
            start = start[..stream.ReadAtLeast(start, StartBytes, throwOnEndOfStream: false)];
        }
        if (SafetensorsHeader.IsLikely(start, length))
            return Describe(path, SafetensorsReader.Read(path), SafetensorsReader.ReadDescription(path));
        if (start.StartsWith("PK"u8) || start is [0x80, <= 5, ..])
            return Describe(path, PthReader.Read(path), null);
        var network = OnnxReader.Read(path);
        var description = OnnxReader.ReadDescription(path) ?? ModelDescription.Of(network);
        return new LoadedWeights(DeployStates.Export(network), WeightsForm.Deploy, network.Architecture, network.Classes, description);
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
