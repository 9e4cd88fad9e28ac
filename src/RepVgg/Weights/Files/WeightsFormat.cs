using RepVgg.Networks;
using RepVgg.Weights.Checkpoint;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;

namespace RepVgg.Weights.Files;

/// <summary>Whether a file has a format.</summary>
/// <param name="start">The first bytes of the file: 16, or all if the file is shorter.</param>
/// <param name="length">Length of the file in bytes.</param>
internal delegate bool FormatDetector(ReadOnlySpan<byte> start, long length);

/// <summary>A file format that weights are read from.</summary>
/// <param name="Name">Name of the format.</param>
/// <param name="Detect">Whether a file has the format.</param>
/// <param name="Open">Opens the file at a path. The options say what the file does not.</param>
internal sealed record WeightsFormat(string Name, FormatDetector Detect, Func<string, WeightsFileOptions, OpenedWeights> Open)
{
    private const int StartBytes = 16;

    // The first format that detects a file reads it. ONNX files have no fixed first bytes, so that ONNX is the last and
    // detects every file; its reader throws an exception with the reason for files that are not ONNX.
    private static readonly WeightsFormat[] _formats =
    [
        new("safetensors", SafetensorsHeader.IsLikely, (path, _) => SafetensorsReader.Open(path)),
        new("training checkpoint", (start, _) => start.StartsWith(CheckpointFile.Magic), (path, _) => CheckpointFile.OpenWeights(path)),
        new("PyTorch", (start, _) => PthReader.IsLikely(start), (path, _) => PthReader.Open(path)),
        new("ONNX", (_, _) => true, OnnxReader.OpenWeights) { OpenNetwork = OnnxReader.OpenNetwork },
    ];

    /// <summary>Opens the network in a file of this format without reading its weights, and returns what was assumed; null if the weights must be fused or renamed first.</summary>
    public Func<string, WeightsFileOptions, (NetworkSource Network, IReadOnlyList<WeightsAssumption> Assumptions)>? OpenNetwork { get; init; }

    /// <summary>Detects the format of a file from its content.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static WeightsFormat Of(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        using var file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        Span<byte> start = stackalloc byte[StartBytes];
        start = start[..RandomAccess.Read(file, start, 0)];
        long length = RandomAccess.GetLength(file);
        int format = 0;
        while (!_formats[format].Detect(start, length))
            format++;
        return _formats[format];
    }
}
