using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.PyTorch;

/// <summary>The file format of PyTorch before 1.6: five pickles, followed by the storages.</summary>
/// <remarks>The pickles are a magic number, a protocol number, the writer's platform, the object, and the storages' keys in order. Each storage is a 64-bit count and the values.</remarks>
internal sealed class LegacyFile
{
    private const long Protocol = 1001;

    private static readonly BigInteger _magic = BigInteger.Parse("119547037146038801333356", CultureInfo.InvariantCulture);

    private readonly Dictionary<string, long> _positions = new(StringComparer.Ordinal);
    private readonly string _file;

    private LegacyFile(object? root, IReadOnlyDictionary<string, int> foreign, string file) => (Root, Foreign, _file) = (root, foreign, file);

    /// <summary>The object of the fourth pickle, usually a state_dict.</summary>
    public object? Root { get; }

    /// <summary>The foreign classes and functions of that pickle, as <see cref="PickleMachine.Foreign"/>.</summary>
    public IReadOnlyDictionary<string, int> Foreign { get; }

    /// <summary>Reads the pickles, and determines the positions of the storages.</summary>
    /// <param name="file">The file.</param>
    /// <param name="limit">Maximum total size of the pickles in bytes.</param>
    public static LegacyFile Read(ByteSource file, long limit)
    {
        var input = new PickleInput(file, limit, file.Name);
        if (file.Read(0, 1) is not [0x80 or (byte)'L'])
            throw input.Bad("it is neither a zip file nor a pickle");
        var first = new PickleMachine(input);
        if (first.Load() is not BigInteger magic || magic != _magic)
        {
            string made = first.Foreign.Count > 0 ? $" (it refers to {ForeignObjects.Describe(first.Foreign)})" : "";
            throw input.Bad($"it is a pickle, but not PyTorch's{made}. Save torch.save(model.state_dict(), path) and try again");
        }
        if (new PickleMachine(input).Load() is not Protocol)
            throw input.Bad("its protocol is not 1001");
        if (new PickleMachine(input).Load() is PickleDictionary platform && platform.Entries.GetValueOrDefault("little_endian") is false)
            throw input.Bad("it was written on a big-endian machine");
        var machine = new PickleMachine(input);
        var legacy = new LegacyFile(machine.Load(), machine.Foreign, file.Name);
        if (new PickleMachine(input).Load() is not List<object?> keys)
            throw input.Bad("its list of storages is missing");

        long position = input.BytesRead;
        foreach (object? item in keys)
        {
            string key = item as string ?? "";
            (long Count, int? Size) declared = machine.Storages.TryGetValue(key, out var storage) ? (storage.Count, StorageDecoder.SizeOf(storage.Type))
                : machine.ForeignStorages.TryGetValue(key, out var foreign) ? foreign
                : throw input.Bad("it lists a storage that no tensor refers to");
            byte[] count = file.Read(position, sizeof(long));
            position += count.Length;
            if (declared.Size is not { } size)
                throw input.Bad($"its storage '{key}' holds values of an unknown type, so that the storages after it cannot be found. Save torch.save(model.state_dict(), path) and try again");
            if (BinaryPrimitives.ReadInt64LittleEndian(count) != declared.Count || (Int128)declared.Count * size > file.Length - position)
                throw input.Bad($"its storage '{key}' is cut off");
            if (!legacy._positions.TryAdd(key, position))
                throw input.Bad($"it lists storage '{key}' twice");
            position += declared.Count * size;
        }
        return legacy;
    }

    /// <summary>Gets the position in the file, in bytes, of a storage's values.</summary>
    public long Locate(PickleStorage storage) =>
        _positions.TryGetValue(storage.Key, out long position)
            ? position
            : throw new InvalidDataException($"{_file} is not a readable PyTorch checkpoint: it does not hold storage '{MessageText.Printable(storage.Key)}'.");
}
