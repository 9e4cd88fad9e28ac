using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Runtime.Files;
using RepVgg.Weights.Checkpoint;
using RepVgg.Weights.Keras;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;

namespace RepVgg.Weights.Files;

/// <summary>Whether a file has a format.</summary>
/// <param name="start">The first bytes of the file: 512, or all if the file is shorter.</param>
internal delegate bool FormatDetector(ReadOnlySpan<byte> start);

/// <summary>A file format that weights are read from.</summary>
/// <param name="Name">Name of the format.</param>
/// <param name="Detect">Whether a file has the format.</param>
/// <param name="Open">Reads the names and shapes of the weights, whose values may stay in the file. The options say what the file does not.</param>
internal sealed record WeightsFormat(string Name, FormatDetector Detect, Func<ByteSource, WeightsFileOptions, OpenedWeights> Open)
{
    private const int StartBytes = 512;

    // The first format that detects a file reads it. Files that none detects are refused by ForeignFormats.
    private static readonly WeightsFormat[] _formats =
    [
        new("safetensors", SafetensorsHeader.IsLikely, (file, _) => SafetensorsReader.Open(file)),
        new("training checkpoint", start => start.StartsWith(CheckpointFile.Magic), (file, _) => CheckpointFile.OpenWeights(file)),
        new("Keras", KerasFile.IsLikely, KerasReader.Open),
        new("PyTorch", PthReader.IsLikely, (file, options) => PthReader.Open(file, options.Entry)),
        new("ONNX", start => OnnxReader.IsLikely(start) && !ForeignFormats.IsText(start) && !ForeignFormats.IsKnown(start), OnnxReader.OpenWeights) { OpenNetwork = OnnxReader.OpenNetwork },
    ];

    /// <summary>Opens the network in a file of this format without reading its weights, and returns what was assumed and a function that infers the architecture; null if the weights must be fused or renamed first.</summary>
    public Func<ByteSource, WeightsFileOptions, (NetworkSource Network, IReadOnlyList<WeightsAssumption> Assumptions, Func<RepVggArchitecture> Architecture)>? OpenNetwork { get; init; }

    /// <summary>Whether files of this format hold a graph, which has outputs, and not dictionaries of weights.</summary>
    public bool IsGraph => OpenNetwork is not null;

    /// <summary>Detects the format of a file from its content.</summary>
    /// <exception cref="InvalidDataException">The file has no format that can be read. The message says what it is, if that is known.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static WeightsFormat Of(ByteSource file)
    {
        byte[] start = file.Read(0, (int)Math.Min(StartBytes, file.Length));
        foreach (var format in _formats)
        {
            if (format.Detect(start))
                return format;
        }
        throw ForeignFormats.Refuse(file.Path, start, file.Length);
    }
}
