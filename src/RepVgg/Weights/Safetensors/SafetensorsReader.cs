using System.IO.MemoryMappedFiles;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;
using RepVgg.Weights.Naming;

namespace RepVgg.Weights.Safetensors;

/// <summary>Reads safetensors files. Files that are specified by path are memory-mapped.</summary>
/// <remarks>Half, bfloat16 and double are converted to float. Counters (<c>num_batches_tracked</c>, <c>total_ops</c>, ...) are ignored.</remarks>
public static class SafetensorsReader
{
    /// <summary>Reads the weights of a file.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The weights, in the order of the file's header.</returns>
    /// <exception cref="InvalidDataException">The file is not a safetensors file or is damaged.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static StateDict Read(string path) => Open(path).Load();

    /// <summary>Reads weights from a stream.</summary>
    /// <param name="stream">Stream with the content of the file from the current position on. It is copied to memory first if it cannot seek or is not at position 0.</param>
    /// <returns>The weights, in the order of the header.</returns>
    /// <exception cref="InvalidDataException">The data is not a safetensors file or is damaged.</exception>
    public static StateDict Read(Stream stream) => Open(Whole(stream), null, "The stream").State.LoadAll();

    /// <summary>Reads the description of the network in a file.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The description; null if the file has none, as files of other programs.</returns>
    /// <exception cref="InvalidDataException">The file is not a safetensors file or is damaged.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static ModelDescription? ReadDescription(string path)
    {
        using var opened = Open(path);
        return opened.Description;
    }

    /// <summary>Reads the description of the network in a file.</summary>
    /// <param name="stream">Stream with the content of the file from the current position on. It is copied to memory first if it cannot seek or is not at position 0.</param>
    /// <returns>The description; null if the file has none, as files of other programs.</returns>
    /// <exception cref="InvalidDataException">The data is not a safetensors file or is damaged.</exception>
    public static ModelDescription? ReadDescription(Stream stream) => Open(Whole(stream), null, "The stream").Description;

    /// <summary>Maps a file into memory and reads the names and shapes. Values are read from the file when they are first used.</summary>
    internal static OpenedWeights Open(string path)
    {
        var stream = InputFile.Open(path);
        MemoryMappedFile? map = null;
        try
        {
            if (stream.Length > 0) // an empty file cannot be mapped
                map = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
            return Open(stream, map, $"'{path}'");
        }
        catch
        {
            map?.Dispose();
            stream.Dispose();
            throw;
        }
    }

    /// <summary>Reads the names and shapes of weights.</summary>
    /// <param name="stream">Stream with the whole file, from which the header is read.</param>
    /// <param name="map">The mapping of the file, from which values are read and which the result owns; null to read them from the stream.</param>
    /// <param name="file">Name of the file in error messages.</param>
    private static OpenedWeights Open(Stream stream, MemoryMappedFile? map, string file) => Guard(file, () =>
    {
        var header = SafetensorsHeader.Read(stream);
        var state = new StateDict();
        var leftOut = new LeftOutNames();
        foreach (var entry in header.Entries)
        {
            if (!leftOut.AddIfCounter(entry.Name))
                state[entry.Name] = new TensorData(entry.Shape, (start, values) => Load(stream, map, file, header.DataStart, entry, start, values));
        }
        return new OpenedWeights(state, ModelDescription.FromProperties(header.Metadata, header.Entries.Sum(entry => entry.Shape.Aggregate(1L, (count, size) => count * size))), map) { LeftOut = [.. leftOut.List()] };
    });

    private static void Load(Stream stream, MemoryMappedFile? map, string file, long dataStart, SafetensorsEntry entry, int start, Span<float> values)
    {
        if (WeightTypes.Refusal(entry.Name, entry.Type) is { } refusal)
            throw new InvalidDataException($"{file} cannot be used: {refusal}.");
        int size = StorageDecoder.SizeOf(entry.Type);
        long position = dataStart + entry.Begin + (long)start * size;
        try
        {
            if (map is null)
            {
                StorageDecoder.Read(stream, position, entry.Type, values);
                return;
            }
            // Each read has a view of its own, so that the pages that have been read are unmapped.
            using var view = map.CreateViewStream(position, (long)values.Length * size, MemoryMappedFileAccess.Read);
            StorageDecoder.Read(view, 0, entry.Type, values);
        }
        catch (OverflowException error)
        {
            throw Unreadable(file, $"'{entry.Name}' holds integers, and {error.Message}", error);
        }
        catch (EndOfStreamException error)
        {
            throw Unreadable(file, MessageText.Reason(error), error);
        }
    }

    private static Stream Whole(Stream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (stream.CanSeek && stream.Position == 0)
            return stream;
        var copy = new MemoryStream();
        stream.CopyTo(copy);
        return copy;
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
