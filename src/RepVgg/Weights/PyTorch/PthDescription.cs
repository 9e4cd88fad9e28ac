using System.Text.Json;
using RepVgg.Runtime;

namespace RepVgg.Weights.PyTorch;

/// <summary>The description of a network in a checkpoint: an entry of the zip file that PyTorch does not read, since the pickle does not name it.</summary>
internal static class PthDescription
{
    private const string Entry = "extra/repvgg.json";
    private const int MaximumSize = 16 << 20;

    /// <summary>Writes a description.</summary>
    /// <param name="zip">The zip file.</param>
    /// <param name="folder">The folder of the checkpoint in the zip file, without a slash at the end.</param>
    /// <param name="description">The description.</param>
    public static void Write(ZipWriter zip, string folder, ModelDescription description)
    {
        using var json = new MemoryStream();
        using (var writer = new Utf8JsonWriter(json))
        {
            writer.WriteStartObject();
            foreach (var (key, value) in description.ToProperties())
                writer.WriteString(key, value);
            writer.WriteEndObject();
        }
        zip.Add($"{folder}/{Entry}", json.ToArray());
    }

    /// <summary>Reads the description of a checkpoint.</summary>
    /// <param name="zip">The zip file.</param>
    /// <param name="folder">The folder of the checkpoint in the zip file, with a slash at the end.</param>
    /// <param name="file">Name of the file in error messages.</param>
    /// <param name="values">Number of values of all tensors that were read.</param>
    /// <returns>The description; null if there is none, as in files of PyTorch.</returns>
    /// <exception cref="InvalidDataException">The description is damaged, or of a network with more weights.</exception>
    public static ModelDescription? Read(ZipDirectory zip, string folder, string file, long values)
    {
        string entry = folder + Entry;
        if (!zip.Contains(entry))
            return null;
        try
        {
            using var json = JsonDocument.Parse(zip.Read(entry, MaximumSize));
            return ModelDescription.FromProperties(json.RootElement.EnumerateObject().ToDictionary(property => property.Name, property => property.Value.GetString() ?? ""), values);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or ArgumentException or FormatException)
        {
            throw new InvalidDataException($"{file} contains a description of its network, '{MessageText.Printable(entry)}', that cannot be read: {MessageText.Reason(error)}.", error);
        }
    }
}
