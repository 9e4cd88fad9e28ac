using System.IO.MemoryMappedFiles;

namespace RepVgg.Weights.Safetensors;

/// <summary>Reads safetensors files. Files that are specified by path are memory-mapped.</summary>
/// <remarks>Half, bfloat16 and double are converted to float. Integer batch counters (<c>num_batches_tracked</c>) are ignored.</remarks>
public static class SafetensorsReader
{
    /// <summary>Reads the weights of a file.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The weights, in the order of the file's header.</returns>
    /// <exception cref="InvalidDataException">The file is not a safetensors file or is damaged.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static StateDict Read(string path) => Map(path, (source, file) => Open(source, file).State.LoadAll());

    /// <summary>Reads weights from a stream.</summary>
    /// <param name="stream">Stream with the content of the file from the current position on. It is copied to memory first if it cannot seek or is not at position 0.</param>
    /// <returns>The weights, in the order of the header.</returns>
    /// <exception cref="InvalidDataException">The data is not a safetensors file or is damaged.</exception>
    public static StateDict Read(Stream stream) => Open(new Source(Whole(stream), null), "The stream").State.LoadAll();

    /// <summary>Reads the description of the network in a file.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The description; null if the file has none, as files of other programs.</returns>
    /// <exception cref="InvalidDataException">The file is not a safetensors file or is damaged.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static ModelDescription? ReadDescription(string path) => Map(path, (source, file) => Guard(file, () => Describe(source.Stream)));

    /// <summary>Reads the description of the network in a file.</summary>
    /// <param name="stream">Stream with the content of the file from the current position on. It is copied to memory first if it cannot seek or is not at position 0.</param>
    /// <returns>The description; null if the file has none, as files of other programs.</returns>
    /// <exception cref="InvalidDataException">The data is not a safetensors file or is damaged.</exception>
    public static ModelDescription? ReadDescription(Stream stream)
    {
        var whole = Whole(stream);
        return Guard("The stream", () => Describe(whole));
    }

    /// <summary>Reads the names and shapes. Values are read from the source when they are first used.</summary>
    /// <param name="source">The source, which must stay open while the weights are used.</param>
    /// <param name="file">Name of the file in error messages.</param>
    internal static (StateDict State, ModelDescription? Description) Open(Source source, string file)
    {
        var header = Guard(file, () => SafetensorsHeader.Read(source.Stream));
        var state = new StateDict();
        foreach (var entry in header.Entries)
        {
            if (!entry.Name.EndsWith("num_batches_tracked", StringComparison.Ordinal))
                state[entry.Name] = new TensorData(entry.Shape, (start, values) => Load(source, file, header.DataStart, entry, start, values));
        }
        return (state, Guard(file, () => ModelDescription.FromProperties(header.Metadata)));
    }

    private static void Load(Source source, string file, long dataStart, SafetensorsEntry entry, int start, Span<float> values)
    {
        int size = StorageDecoder.SizeOf(entry.Type);
        long position = dataStart + entry.Begin + (long)start * size;
        try
        {
            if (source.Map is null)
            {
                StorageDecoder.Read(source.Stream, position, entry.Type, values);
                return;
            }
            // Each read has a view of its own, so that the pages that have been read are unmapped.
            using var view = source.Map.CreateViewStream(position, (long)values.Length * size, MemoryMappedFileAccess.Read);
            StorageDecoder.Read(view, 0, entry.Type, values);
        }
        catch (OverflowException error)
        {
            throw Unreadable(file, $"'{entry.Name}' holds integers, and {error.Message}", error);
        }
        catch (EndOfStreamException error)
        {
            throw Unreadable(file, error.Message, error);
        }
    }

    private static ModelDescription? Describe(Stream stream) => ModelDescription.FromProperties(SafetensorsHeader.Read(stream).Metadata);

    /// <summary>The source of the bytes: a stream, and the memory mapping of its file, or null.</summary>
    internal sealed record Source(Stream Stream, MemoryMappedFile? Map);

    /// <summary>Maps a file into memory and calls a function with it. The file is closed when the function returns.</summary>
    internal static T Map<T>(string path, Func<Source, string, T> read)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
        if (file.Length == 0)
            return read(new Source(file, null), $"'{path}'"); // an empty file cannot be mapped
        using var map = MemoryMappedFile.CreateFromFile(file, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: true);
        return read(new Source(file, map), $"'{path}'");
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
            throw Unreadable(file, error.Message, error);
        }
    }

    private static InvalidDataException Unreadable(string file, string reason, Exception error) =>
        new($"{file} is not a readable safetensors file: {reason.TrimEnd('.')}.", error);
}
