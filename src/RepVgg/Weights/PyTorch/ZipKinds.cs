using RepVgg.Runtime;

namespace RepVgg.Weights.PyTorch;

/// <summary>Recognises zip files that are not PyTorch checkpoints by the names of their entries.</summary>
internal static class ZipKinds
{
    private static readonly string[] _weightsExtensions = [".pth", ".pt", ".tar", ".safetensors", ".onnx"];

    /// <summary>Describes a zip file that is not a checkpoint, with what to do instead.</summary>
    /// <param name="zip">The entries of the file.</param>
    /// <param name="pickle">Name of the entry <c>data.pkl</c>; null if there is none.</param>
    /// <returns>A description that follows "The file is"; null if the file can be a checkpoint.</returns>
    public static string? Refusal(ZipDirectory zip, string? pickle)
    {
        if (pickle is not null)
        {
            string folder = pickle[..^"data.pkl".Length];
            return zip.Contains(folder + "constants.pkl") || zip.Names.Any(name => name.StartsWith(folder + "code/", StringComparison.Ordinal))
                ? "a TorchScript archive, which is a program and not weights. Save torch.save(model.state_dict(), path) and try again."
                : null;
        }
        const string Start = "a zip file without 'data.pkl', not a PyTorch checkpoint: it is ";
        if (Any(name => name.StartsWith("TransformerChain/", StringComparison.Ordinal) || name.StartsWith("TransformerChain\\", StringComparison.Ordinal) || name is "TrainingInfo/Version.txt" or "TrainingInfo\\Version.txt"))
            return Start + "an ML.NET model. Load it with mlContext.Model.Load, or give the file of weights from which it was made.";
        if (Any(name => name == "[Content_Types].xml"))
            return Start + "an Office document.";
        if (Any(name => name is "model.weights.h5" or "keras_metadata.pb") || (zip.Contains("config.json") && zip.Contains("metadata.json")))
            return Start + "a Keras model that another program has packed. Save it with model.save('model.keras').";
        if (zip.Names.Any() && zip.Names.All(name => name.EndsWith(".npy", StringComparison.Ordinal)))
            return Start + "a NumPy .npz archive. Save the weights as .pth or .safetensors.";
        if (Any(name => name.EndsWith("/archive_format", StringComparison.Ordinal) || name is "archive_format" or "serialized_exported_program.json"))
            return Start + "a program of torch.export. Save torch.save(model.state_dict(), path) and try again.";
        if (Any(name => name.EndsWith("saved_model.pb", StringComparison.Ordinal)))
            return Start + "a TensorFlow SavedModel. Load it in TensorFlow and save it as .keras, or its weights as .h5.";
        string? inner = zip.Names.FirstOrDefault(name => Array.Exists(_weightsExtensions, extension => name.EndsWith(extension, StringComparison.OrdinalIgnoreCase)));
        if (inner is not null)
            return Start + $"an archive that contains '{MessageText.Printable(inner)}'. Unpack that file and give its path.";
        return Start + (zip.Names.FirstOrDefault() is { } first ? $"an archive of something else, with '{MessageText.Printable(first)}'." : "an empty archive.");

        bool Any(Func<string, bool> condition) => zip.Names.Any(condition);
    }
}
