using RepVgg.Weights.Naming;

namespace RepVgg.Weights.PyTorch;

/// <summary>Reads PyTorch checkpoints (.pth, .pt) without executing code.</summary>
/// <remarks>
/// Supports the zip format of PyTorch 1.6 and later, and the format before it. The pickle may refer only to the functions that
/// rebuild tensors and to storages; any other global causes an exception that names it. Half, bfloat16 and double are converted to float. Integer batch counters
/// (<c>num_batches_tracked</c>) are ignored. The wrappers <c>{"state_dict": ..}</c>, <c>{"model": ..}</c> and
/// <c>{"model_state_dict": ..}</c> and the prefix <c>module.</c> are removed. The memory is limited in proportion to the size of the file.
/// </remarks>
public static class PthReader
{
    private const int MaximumPickle = 32 << 20;
    private const int MaximumWrappers = 4;
    private const long SpareBytes = 64 << 20;

    private static readonly string[] _wrappers = ["state_dict", "model", "model_state_dict"];

    /// <summary>Reads a checkpoint.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The weights.</returns>
    /// <exception cref="InvalidDataException">The file is not a checkpoint, is damaged, or does not contain weights.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static StateDict Read(string path) => Open(path).Load();

    /// <summary>Reads a checkpoint.</summary>
    /// <param name="stream">Stream with the checkpoint from the current position on. It is copied to memory first if it cannot seek or is not at position 0.</param>
    /// <returns>The weights.</returns>
    /// <exception cref="InvalidDataException">The data is not a checkpoint, is damaged, or does not contain weights.</exception>
    public static StateDict Read(Stream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (stream.CanSeek && stream.Position == 0)
            return Open(stream, "The stream").LoadAll();
        using var copy = new MemoryStream();
        stream.CopyTo(copy);
        copy.Position = 0;
        return Open(copy, "The stream").LoadAll();
    }

    /// <summary>Whether a file with the given first bytes can be a checkpoint: a zip file, or a pickle of protocol 5 or lower.</summary>
    internal static bool IsLikely(ReadOnlySpan<byte> start) => start.StartsWith("PK"u8) || start is [0x80, <= 5, ..];

    /// <summary>Opens a checkpoint. Values are read from the file when they are first used.</summary>
    internal static OpenedWeights Open(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16);
        try
        {
            return new OpenedWeights(Open(stream, $"'{path}'"), PthDescription.Read(stream, $"'{path}'"), stream);
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    /// <summary>Reads the names and shapes of a checkpoint. Values are read from the stream when they are first used.</summary>
    /// <param name="stream">Seekable stream at position 0. It must stay open while the weights are used.</param>
    /// <param name="file">Name of the file in error messages.</param>
    private static StateDict Open(Stream stream, string file)
    {
        try
        {
            Span<byte> start = stackalloc byte[2];
            if (stream.ReadAtLeast(start, 2, throwOnEndOfStream: false) < 2)
                throw new InvalidDataException($"{file} is not a readable PyTorch checkpoint: it is empty.");
            return start.SequenceEqual("PK"u8) ? ReadZip(stream, file) : ReadLegacy(stream, file);
        }
        catch (EndOfStreamException error)
        {
            throw new InvalidDataException($"{file} is not a readable PyTorch checkpoint: it ends early.", error);
        }
    }

    private static StateDict ReadZip(Stream stream, string file)
    {
        var zip = new ZipDirectory(stream, file);
        string pickle = zip.Names.FirstOrDefault(name => name.EndsWith("/data.pkl", StringComparison.Ordinal) && name.IndexOf('/') == name.Length - "/data.pkl".Length)
            ?? throw new InvalidDataException($"{file} is not a readable PyTorch checkpoint: it is a zip file without 'data.pkl'.");
        string folder = pickle[..^"data.pkl".Length];
        if (zip.Contains(folder + "constants.pkl"))
            throw new InvalidDataException($"{file} is a TorchScript program, not weights. Save torch.save(model.state_dict(), path) and try again.");
        if (zip.Contains(folder + "byteorder") && !zip.Read(folder + "byteorder", 16).AsSpan().SequenceEqual("little"u8))
            throw new InvalidDataException($"{file} was written on a big-endian machine, which is not supported.");

        using var bytes = new MemoryStream(zip.Read(pickle, MaximumPickle));
        object? root = new PickleMachine(new PickleInput(bytes, bytes.Length, file)).Load();
        return Collect(stream, file, root, storage =>
        {
            var (position, size) = zip.Locate($"{folder}data/{storage.Key}");
            return size / StorageDecoder.SizeOf(storage.Type) >= storage.Count
                ? position
                : throw new InvalidDataException($"{file} is not a readable PyTorch checkpoint: storage '{storage.Key}' has {size} bytes, too few for {storage.Count} values.");
        });
    }

    private static StateDict ReadLegacy(Stream stream, string file)
    {
        var legacy = LegacyFile.Read(stream, MaximumPickle, file);
        return Collect(stream, file, legacy.Root, legacy.Locate);
    }

    /// <summary>Collects the tensors of an unpickled object as weights.</summary>
    private static StateDict Collect(Stream stream, string file, object? root, Func<PickleStorage, long> locate)
    {
        var entries = Unwrap(root, file);
        var tensors = entries.Where(entry => entry.Value is PickleTensor && !entry.Key.EndsWith(StateLayout.BatchCounter, StringComparison.Ordinal)).ToList();
        string prefix = tensors.All(entry => entry.Key.StartsWith("module.", StringComparison.Ordinal)) ? "module." : "";

        long budget = stream.Length * 4 + SpareBytes;
        var state = new StateDict();
        foreach (var (name, value) in tensors)
        {
            var tensor = (PickleTensor)value!;
            budget -= Math.Max(tensor.Count, tensor.Extent) * sizeof(float);
            if (budget < 0)
                throw new InvalidDataException($"{file} is not a readable PyTorch checkpoint: its tensors share storages so often that they would need far more memory than the file has.");
            long position = locate(tensor.Storage);
            state[name[prefix.Length..]] = new TensorData(tensor.Shape, (start, values) => Load(stream, file, name, position, tensor, start, values));
        }
        return state;
    }

    private static void Load(Stream stream, string file, string name, long position, PickleTensor tensor, int start, Span<float> values)
    {
        try
        {
            TensorReader.Read(stream, position, tensor, start, values);
        }
        catch (OverflowException error)
        {
            throw new InvalidDataException($"{file} holds the tensor '{name}' of integers, and {error.Message}.", error);
        }
        catch (EndOfStreamException error)
        {
            throw new InvalidDataException($"{file} is not a readable PyTorch checkpoint: it ends within '{name}'.", error);
        }
    }

    private static OrderedDictionary<string, object?> Unwrap(object? root, string file)
    {
        for (int i = 0; i <= MaximumWrappers && root is PickleDictionary dictionary; i++)
        {
            if (dictionary.Entries.Values.Any(value => value is PickleTensor))
                return dictionary.Entries;
            string? wrapper = Array.Find(_wrappers, name => dictionary.Entries.GetValueOrDefault(name) is PickleDictionary);
            if (wrapper is null)
                break;
            root = dictionary.Entries[wrapper];
        }
        throw new InvalidDataException(
            $"{file} holds no weights: neither named tensors nor any of '{string.Join("', '", _wrappers)}'. Save torch.save(model.state_dict(), path) and try again.");
    }
}
