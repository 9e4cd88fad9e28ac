using RepVgg.Runtime;
using RepVgg.Runtime.Files;
using RepVgg.Weights.Naming;

namespace RepVgg.Weights.Safetensors;

/// <summary>Reads safetensors files.</summary>
/// <remarks>Half, bfloat16 and double are converted to float. Counters (<c>num_batches_tracked</c>, <c>total_ops</c>, ...) are ignored.</remarks>
public static class SafetensorsReader
{
    /// <summary>Reads the weights of a file.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The weights, in the order of the file's header.</returns>
    /// <exception cref="InvalidDataException">The file is not a safetensors file or is damaged, or a weight is NaN or infinite.</exception>
    /// <exception cref="IOException">The file cannot be read, or was changed while it was read.</exception>
    public static StateDict Read(string path) => ByteSource.Use(path, Load);

    /// <summary>Reads weights from a stream.</summary>
    /// <param name="stream">Stream with the content of the file from the current position on. It is copied to memory first if it cannot seek or is not at position 0.</param>
    /// <returns>The weights, in the order of the header.</returns>
    /// <exception cref="InvalidDataException">The data is not a safetensors file or is damaged, or a weight is NaN or infinite.</exception>
    public static StateDict Read(Stream stream) => Load(ByteSource.Of(stream));

    /// <summary>Reads the description of the network in a file.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The description; null if the file has none, as files of other programs.</returns>
    /// <exception cref="InvalidDataException">The file is not a safetensors file or is damaged.</exception>
    /// <exception cref="IOException">The file cannot be read, or was changed while it was read.</exception>
    public static ModelDescription? ReadDescription(string path) => ByteSource.Use(path, file => Open(file).Description);

    /// <summary>Reads the description of the network in a file.</summary>
    /// <param name="stream">Stream with the content of the file from the current position on. It is copied to memory first if it cannot seek or is not at position 0.</param>
    /// <returns>The description; null if the file has none, as files of other programs.</returns>
    /// <exception cref="InvalidDataException">The data is not a safetensors file or is damaged.</exception>
    public static ModelDescription? ReadDescription(Stream stream) => Open(ByteSource.Of(stream)).Description;

    /// <summary>Reads the names and shapes of weights. Values are read from the file when they are first used.</summary>
    internal static OpenedWeights Open(ByteSource file) => Guard(file.Name, () =>
    {
        var header = SafetensorsHeader.Read(file);
        var state = new StateDict();
        var leftOut = new LeftOutNames();
        foreach (var entry in header.Entries)
        {
            if (!leftOut.AddIfNoWeight(entry.Name))
                state[entry.Name] = new TensorData(entry.Shape, (start, values) => Load(file, header.DataStart, entry, start, values));
        }
        return new OpenedWeights(state, ModelDescription.FromProperties(header.Metadata, header.Entries.Sum(entry => entry.Shape.Aggregate(1L, (count, size) => count * size)))) { LeftOut = [.. leftOut.List()] };
    });

    private static StateDict Load(ByteSource file) => StoredValues.Checked(file.Name, Open(file).State, null).LoadAll();

    private static void Load(ByteSource file, long dataStart, SafetensorsEntry entry, int start, Span<float> values)
    {
        if (WeightTypes.Refusal(entry.Name, entry.Type) is { } refusal)
            throw new InvalidDataException($"{file.Name} cannot be used: {refusal}.");
        try
        {
            StorageDecoder.Read(file, dataStart + entry.Begin + (long)start * StorageDecoder.SizeOf(entry.Type), entry.Type, values);
        }
        catch (OverflowException error)
        {
            throw Unreadable(file.Name, $"'{entry.Name}' holds integers, and {error.Message}", error);
        }
    }

    private static T Guard<T>(string file, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception error) when (error is InvalidDataException or FormatException or EndOfStreamException)
        {
            throw Unreadable(file, MessageText.Reason(error), error);
        }
    }

    private static InvalidDataException Unreadable(string file, string reason, Exception error) =>
        new($"{file} is not a readable safetensors file: {MessageText.WithoutControls(reason)}.", error);
}
