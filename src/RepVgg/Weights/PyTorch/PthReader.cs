using RepVgg.Runtime;
using RepVgg.Runtime.Files;
using RepVgg.Weights.Naming;

namespace RepVgg.Weights.PyTorch;

/// <summary>Reads PyTorch checkpoints (.pth, .pt) without executing code.</summary>
/// <remarks>
/// Supports the zip format of PyTorch 1.6 and later, and the format before it. Objects of other classes than tensors and dictionaries, such as
/// a configuration beside the weights, are skipped without being built. Half, bfloat16 and double are converted to float. Counters
/// (<c>num_batches_tracked</c>, <c>total_ops</c>, ...) are ignored. The weights may be in a dictionary of the checkpoint, such as
/// <c>{"state_dict": ..}</c> or <c>{"model": ..}</c>, also nested; tensors and other dictionaries beside it are ignored, and plain weights are preferred to their moving average.
/// Names are those in the file; <see cref="Files.WeightsFile"/> also removes prefixes and converts names. The memory is limited in proportion to the size of the file.
/// </remarks>
public static class PthReader
{
    private const int MaximumPickle = 32 << 20;
    private const long SpareBytes = 16 << 20;

    // What a tensor takes besides its values.
    private const int TensorBytes = 512;

    /// <summary>Reads a checkpoint.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The weights.</returns>
    /// <exception cref="InvalidDataException">The file is not a checkpoint, is damaged, or does not contain weights, or a weight is NaN or infinite.</exception>
    /// <exception cref="IOException">The file cannot be read, or was changed while it was read.</exception>
    public static StateDict Read(string path) => ByteSource.Use(path, Load);

    /// <summary>Reads a checkpoint.</summary>
    /// <param name="stream">Stream with the checkpoint from the current position on. It is copied to memory first if it cannot seek or is not at position 0.</param>
    /// <returns>The weights.</returns>
    /// <exception cref="InvalidDataException">The data is not a checkpoint, is damaged, or does not contain weights, or a weight is NaN or infinite.</exception>
    public static StateDict Read(Stream stream) => Load(ByteSource.Of(stream));

    /// <summary>Whether a file with the given first bytes can be a checkpoint: a zip file, or a pickle of protocol 5 or lower.</summary>
    internal static bool IsLikely(ReadOnlySpan<byte> start) => start.StartsWith("PK"u8) || start is [0x80, <= 5, ..] || start.StartsWith("L1195470371"u8);

    /// <summary>Reads the names and shapes of a checkpoint. Values are read from the file when they are first used.</summary>
    /// <param name="file">The file.</param>
    /// <param name="entry">Path of the dictionary in the checkpoint that is read, or of one in it; if no such dictionary holds tensors, or for null, the plain weights are read.</param>
    internal static OpenedWeights Open(ByteSource file, string? entry = null)
    {
        try
        {
            if (file.Length < 2)
                throw new InvalidDataException($"{file.Name} is not a readable PyTorch checkpoint: it is empty.");
            return file.Read(0, 2) is [(byte)'P', (byte)'K'] ? ReadZip(file, entry) : ReadLegacy(file, entry);
        }
        catch (EndOfStreamException error)
        {
            throw new InvalidDataException($"{file.Name} is not a readable PyTorch checkpoint: it ends early.", error);
        }
    }

    private static StateDict Load(ByteSource file) => StoredValues.Checked(file.Name, Open(file).State, null).LoadAll();

    private static OpenedWeights ReadZip(ByteSource file, string? entry)
    {
        var zip = new ZipDirectory(file);
        string? pickle = zip.Names.FirstOrDefault(name => name.EndsWith("/data.pkl", StringComparison.Ordinal) && name.IndexOf('/') == name.Length - "/data.pkl".Length);
        if (ZipKinds.Refusal(zip, pickle) is { } refusal)
            throw new InvalidDataException($"{file.Name} is {refusal}");
        string folder = pickle![..^"data.pkl".Length];
        if (zip.Contains(folder + "byteorder") && !zip.Read(folder + "byteorder", 16).AsSpan().SequenceEqual("little"u8))
            throw new InvalidDataException($"{file.Name} was written on a big-endian machine, which is not supported.");

        var machine = new PickleMachine(new PickleInput(ByteSource.Of(new MemoryStream(zip.Read(pickle, MaximumPickle))), MaximumPickle, file.Name));
        object? root = machine.Load();
        var weights = Collect(file, root, machine.Foreign, entry, storage =>
        {
            var (position, size) = zip.Locate($"{folder}data/{storage.Key}");
            return size / StorageDecoder.SizeOf(storage.Type) >= storage.Count
                ? position
                : throw new InvalidDataException($"{file.Name} is not a readable PyTorch checkpoint: storage '{MessageText.Printable(storage.Key)}' has {size} bytes, too few for {storage.Count} values.");
        });
        return weights with { Description = PthDescription.Read(zip, folder, file.Name, weights.State.Sum(pair => (long)pair.Value.Length)) };
    }

    private static OpenedWeights ReadLegacy(ByteSource file, string? entry)
    {
        var legacy = LegacyFile.Read(file, MaximumPickle);
        return Collect(file, legacy.Root, legacy.Foreign, entry, legacy.Locate);
    }

    /// <summary>Collects the tensors of an entry of the checkpoint as weights.</summary>
    private static OpenedWeights Collect(
        ByteSource file, object? root, IReadOnlyDictionary<string, int> foreign, string? path, Func<PickleStorage, long> locate)
    {
        var entries = new PthEntries(root);
        var entry = entries.FindOrParent(path) ?? entries.Default() ?? throw NoWeights(file.Name, root, entries, foreign);

        long budget = file.Length * 4 + SpareBytes;
        var state = new StateDict();
        var leftOut = new LeftOutNames();
        foreach (var (name, value) in entry.Values)
        {
            if (value is PickleObject placeholder && WeightTypes.IsWeight(name))
            {
                throw new InvalidDataException(
                    $"{file.Name} holds '{MessageText.Printable(name)}' as an object of {placeholder.ClassName}, which is not a plain tensor and cannot be read. "
                    + "Convert the weights to dense float tensors before they are saved.");
            }
            if (value is not PickleTensor tensor || leftOut.AddIfNoWeight(name))
                continue;
            budget -= Math.Max(tensor.Count, tensor.Extent) * sizeof(float) + TensorBytes;
            if (budget < 0)
                throw new InvalidDataException($"{file.Name} is not a readable PyTorch checkpoint: its tensors share storages so often that they would need far more memory than the file has. They may have 4 times the size of the file and {SpareBytes} bytes.");
            long position = locate(tensor.Storage);
            state[name] = new TensorData(tensor.Shape, (start, values) => Load(file, name, position, tensor, start, values));
        }
        leftOut.AddTensors(TensorsBeside(root, entry));
        return new OpenedWeights(state, null)
        {
            Entry = entry.Path,
            Entries = [.. entries.All.Where(other => other == entry || other.HoldsNetwork).Select(other => other.Path)],
            LeftOut = [.. ForeignObjects.List(foreign), .. leftOut.List()],
        };
    }

    /// <summary>Returns the paths of the tensors that are in the dictionaries around an entry.</summary>
    private static IEnumerable<string> TensorsBeside(object? root, PthEntry entry)
    {
        string path = "";
        foreach (string key in entry.Keys)
        {
            var around = ((PickleDictionary)root!).Entries;
            foreach (var (name, value) in around)
            {
                if (value is PickleTensor)
                    yield return MessageText.Printable(path + name);
            }
            path += key + ".";
            root = around[key];
        }
    }

    private static void Load(ByteSource file, string name, long position, PickleTensor tensor, int start, Span<float> values)
    {
        if (WeightTypes.Refusal(name, tensor.Storage.Type) is { } refusal)
            throw new InvalidDataException($"{file.Name} cannot be used: {refusal}.");
        try
        {
            TensorReader.Read(file, position, tensor, start, values);
        }
        catch (OverflowException error)
        {
            throw new InvalidDataException($"{file.Name} holds the tensor '{MessageText.Printable(name)}' of integers, and {error.Message}.", error);
        }
        catch (EndOfStreamException error)
        {
            throw new InvalidDataException($"{file.Name} is not a readable PyTorch checkpoint: it ends within '{MessageText.Printable(name)}'.", error);
        }
    }

    private static InvalidDataException NoWeights(string file, object? root, PthEntries entries, IReadOnlyDictionary<string, int> foreign)
    {
        const string Advice = "Save torch.save(model.state_dict(), path) and try again.";
        string[] networks = [.. entries.All.Where(entry => entry.HoldsNetwork).Select(entry => entry.Path)], paths = networks.Length > 0 ? networks : [.. entries.All.Select(entry => entry.Path)];
        if (paths.Length > 1)
            return new InvalidDataException($"{file} holds several dictionaries of tensors, '{MessageText.Join(paths, separator: "', '")}': give the one that is to be read as the option Entry, or save only the weights.");
        if (root is PickleObject whole)
            return new InvalidDataException($"{file} holds no weights: it is an object of {whole.ClassName}, and objects of a checkpoint are never built. {Advice}");
        string made = foreign.Count > 0 ? $", but objects that are never built: {ForeignObjects.Describe(foreign)}" : "";
        return new InvalidDataException($"{file} holds no weights: neither named tensors nor a dictionary of them{made}. {Advice}");
    }
}
