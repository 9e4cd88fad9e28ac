using RepVgg.Networks;

namespace RepVgg.Formats.Onnx;

/// <summary>Reads RepVGG networks from ONNX files.</summary>
/// <remarks>
/// It reads what <see cref="OnnxWriter"/> writes, and RepVGG-shaped graphs of other exporters, such as PyTorch's, in the
/// deploy or the training form (which is fused). Anything else is refused with the reason. A softmax at the end is left out.
/// </remarks>
public static class OnnxReader
{
    /// <summary>Reads a network.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The network.</returns>
    /// <exception cref="InvalidDataException">The file is no ONNX file, is damaged, or holds something else than a RepVGG.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static DeployNetwork Read(string path) => Open(path, static (stream, file) => ReadNetwork(stream, file));

    /// <summary>Reads a network.</summary>
    /// <param name="stream">Holds the file's content from the current position on; if it cannot seek, it is copied to memory first.</param>
    /// <returns>The network.</returns>
    /// <exception cref="InvalidDataException">The data is no ONNX file, is damaged, or holds something else than a RepVGG.</exception>
    public static DeployNetwork Read(Stream stream) => ReadNetwork(Seekable(stream), "The stream");

    /// <summary>Reads what a file says about itself, class labels included.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The description, or null in files of other exporters.</returns>
    /// <exception cref="InvalidDataException">The file is no ONNX file or is damaged.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static ModelDescription? ReadDescription(string path) => Open(path, static (stream, file) => Guard(stream, file, model => Describe(model)));

    /// <summary>Reads what a file says about itself, class labels included.</summary>
    /// <param name="stream">As for <see cref="Read(Stream)"/>.</param>
    /// <returns>The description, or null in files of other exporters.</returns>
    /// <exception cref="InvalidDataException">The data is no ONNX file or is damaged.</exception>
    public static ModelDescription? ReadDescription(Stream stream) => Guard(Seekable(stream), "The stream", Describe);

    private static DeployNetwork ReadNetwork(Stream stream, string file) => Guard(stream, file, model => new OnnxNetworkReader(model, Describe(model)).Read());

    private static ModelDescription? Describe(OnnxModel model) => ModelDescription.FromProperties(model.Properties);

    private static T Open<T>(string path, Func<Stream, string, T> read)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16);
        return read(stream, $"'{path}'");
    }

    private static Stream Seekable(Stream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (stream.CanSeek)
            return stream;
        var copy = new MemoryStream();
        stream.CopyTo(copy);
        copy.Position = 0;
        return copy;
    }

    private static T Guard<T>(Stream stream, string file, Func<OnnxModel, T> read)
    {
        try
        {
            return read(OnnxParser.Parse(stream));
        }
        catch (Exception error) when (error is InvalidDataException or FormatException or ArgumentException)
        {
            throw new InvalidDataException($"{file} is not an ONNX file of a RepVGG: {Reason(error)}.", error);
        }
    }

    /// <summary>The message without what names a parameter of ours.</summary>
    private static string Reason(Exception error)
    {
        int parameter = error is ArgumentException ? error.Message.LastIndexOf(" (Parameter ", StringComparison.Ordinal) : -1;
        return (parameter < 0 ? error.Message : error.Message[..parameter]).TrimEnd('.');
    }
}
