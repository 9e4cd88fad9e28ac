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
    public static DeployNetwork Read(string path) => Map(path, Network);

    /// <summary>Reads a network.</summary>
    /// <param name="stream">Holds the file's content from the current position on; it is copied to memory first.</param>
    /// <returns>The network.</returns>
    /// <exception cref="InvalidDataException">The data is no ONNX file, is damaged, or holds something else than a RepVGG.</exception>
    public static DeployNetwork Read(Stream stream) => Parse(stream, Network);

    /// <summary>Reads what a file says about itself, class labels included.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The description, or null in files of other exporters.</returns>
    /// <exception cref="InvalidDataException">The file is no ONNX file or is damaged.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static ModelDescription? ReadDescription(string path) => Map(path, Describe);

    /// <summary>Reads what a file says about itself, class labels included.</summary>
    /// <param name="stream">As for <see cref="Read(Stream)"/>.</param>
    /// <returns>The description, or null in files of other exporters.</returns>
    /// <exception cref="InvalidDataException">The data is no ONNX file or is damaged.</exception>
    public static ModelDescription? ReadDescription(Stream stream) => Parse(stream, Describe);

    /// <summary>Uses a network while its weights lie in the mapped file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="use">Called once; the network's weights can be read until it returns.</param>
    /// <exception cref="InvalidDataException">As for <see cref="Read(string)"/>.</exception>
    internal static T Use<T>(string path, Func<NetworkSource, T> use)
        where T : class
    {
        using var file = new MappedFile(path);
        return use(Guard($"'{path}'", () =>
        {
            var model = OnnxParser.Parse(file);
            return new OnnxNetworkReader(model, () => Describe(model)).Open();
        }));
    }

    private static DeployNetwork Network(OnnxModel model) => new OnnxNetworkReader(model, () => Describe(model)).Read();

    private static ModelDescription? Describe(OnnxModel model) => ModelDescription.FromProperties(model.Properties);

    private static T Map<T>(string path, Func<OnnxModel, T> read)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        using var file = new MappedFile(path);
        return Guard($"'{path}'", () => read(OnnxParser.Parse(file)));
    }

    private static T Parse<T>(Stream stream, Func<OnnxModel, T> read)
    {
        ArgumentNullException.ThrowIfNull(stream);
        return Guard("The stream", () => read(OnnxParser.Parse(stream)));
    }

    private static T Guard<T>(string file, Func<T> read)
    {
        try
        {
            return read();
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
