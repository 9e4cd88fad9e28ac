using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using RepVgg.Runtime;
using RepVgg.Runtime.Files;

namespace RepVgg.Weights.Checkpoint;

/// <summary>The checkpoint file from which a training run can be resumed. It contains a text and named tensors, with a checksum.</summary>
/// <remarks>
/// Format, little-endian: the 8 bytes "RVGGCKP1"; the length of the text in bytes as int32, and the text (UTF-8); the number
/// of tensors as int32; for each tensor its name (like the text), rank and dimensions as int32, and values as float32; then the SHA-256 of all preceding bytes.
/// <see cref="AtomicFile"/> writes the file, so a reader never sees a partial file.
/// </remarks>
internal static class CheckpointFile
{
    /// <summary>Prefixes of tensor names: of the latest weights, and of the best weights if they differ from the latest.</summary>
    public const string WeightsPrefix = "weights/", BestPrefix = "best/";

    /// <summary>Name of the JSON property of the text that contains the properties of the <see cref="ModelDescription"/>.</summary>
    public const string DescriptionKey = "description";

    private const int HashLength = 32, BufferLength = 1 << 16;

    public static ReadOnlySpan<byte> Magic => "RVGGCKP1"u8;

    /// <summary>Checks that the file can be written, so that an error occurs before training and not after the first epoch.</summary>
    /// <exception cref="IOException">The file cannot be written (checked by creating a temporary file).</exception>
    public static void CheckWritable(string path) => AtomicFile.CheckWritable(path, Subject(path));

    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(string path, string text, StateDict tensors) => AtomicFile.Write(path, Subject(path), file => WriteTo(file, text, tensors));

    /// <exception cref="InvalidDataException">The file is truncated, damaged, or something else.</exception>
    /// <exception cref="IOException">The file cannot be read, or was changed while it was read.</exception>
    public static (string Text, StateDict Tensors) Read(string path) => ByteSource.Use(path, Read);

    private static (string Text, StateDict Tensors) Read(ByteSource file)
    {
        Verify(file);
        var content = new Content(file);
        try
        {
            string text = content.Text();
            var tensors = new StateDict();
            for (int remaining = content.Int32(); remaining > 0; remaining--)
            {
                string name = content.Text();
                tensors[name] = content.Tensor();
            }
            return (text, tensors);
        }
        catch (Exception error) when (error is EndOfStreamException or OverflowException or ArgumentException)
        {
            throw new InvalidDataException($"The training checkpoint {file.Name} was not written by this library: {MessageText.Reason(error)}.", error);
        }
    }

    /// <summary>Reads the best weights of a training run so far, and the description of the network.</summary>
    /// <exception cref="InvalidDataException">The file is truncated, damaged, or something else.</exception>
    public static OpenedWeights OpenWeights(ByteSource file)
    {
        var (text, tensors) = Read(file);
        var best = Select(tensors, BestPrefix);
        try
        {
            var properties = JsonNode.Parse(text)?[DescriptionKey]?.AsObject().ToDictionary(pair => pair.Key, pair => (string?)pair.Value ?? "");
            var weights = best.Count > 0 ? best : Select(tensors, WeightsPrefix);
            return new OpenedWeights(weights, properties is null ? null : ModelDescription.FromProperties(properties, weights.Sum(pair => (long)pair.Value.Length)));
        }
        catch (Exception error) when (error is FormatException or JsonException or InvalidOperationException or ArgumentException)
        {
            throw new InvalidDataException($"The training checkpoint {file.Name} contains a description of its network that cannot be read: {MessageText.Reason(error)}.", error);
        }
    }

    /// <summary>Selects the tensors whose names start with a prefix, and removes the prefix from the names.</summary>
    public static StateDict Select(StateDict tensors, string prefix)
    {
        var selected = new StateDict();
        foreach (var (name, tensor) in tensors)
        {
            if (name.StartsWith(prefix, StringComparison.Ordinal))
                selected[name[prefix.Length..]] = tensor;
        }
        return selected;
    }

    /// <summary>Checks the magic and the checksum.</summary>
    private static void Verify(ByteSource file)
    {
        byte[] buffer = new byte[BufferLength];
        var start = buffer.AsSpan(0, (int)Math.Min(Magic.Length, file.Length));
        file.Read(0, start);
        if (start.Length == Magic.Length && !start.SequenceEqual(Magic))
            throw new InvalidDataException($"{file.Name} is not a training checkpoint of this library. Specify another path, or move the file.");
        long hashed = file.Length - HashLength;
        if (hashed >= Magic.Length)
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            for (long position = 0; position < hashed; position += BufferLength)
            {
                var chunk = buffer.AsSpan(0, (int)Math.Min(hashed - position, BufferLength));
                file.Read(position, chunk);
                hash.AppendData(chunk);
            }
            if (hash.GetHashAndReset().AsSpan().SequenceEqual(file.Read(hashed, HashLength)))
                return;
        }
        throw new InvalidDataException($"The training checkpoint {file.Name} is truncated or damaged. Delete it to start a new run, or restore it from a copy.");
    }

    private static void WriteTo(Stream file, string text, StateDict tensors)
    {
        using var hash = SHA256.Create();
        using (var hashed = new CryptoStream(file, hash, CryptoStreamMode.Write, leaveOpen: true))
        using (var writer = new BinaryWriter(hashed, Encoding.UTF8, leaveOpen: true))
        {
            writer.Write(Magic);
            WriteText(writer, text);
            writer.Write(tensors.Count);
            foreach (var (name, tensor) in tensors)
            {
                WriteText(writer, name);
                writer.Write(tensor.Shape.Count);
                foreach (int dimension in tensor.Shape)
                    writer.Write(dimension);
                writer.Write(MemoryMarshal.AsBytes(tensor.Values.AsSpan()));
            }
            writer.Flush();
            hashed.FlushFinalBlock();
        }
        file.Write(hash.Hash!);
    }

    private static void WriteText(BinaryWriter writer, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        writer.Write(bytes.Length);
        writer.Write(bytes);
    }

    private static string Subject(string path) => $"The training checkpoint '{path}'";

    /// <summary>Reads what follows the magic.</summary>
    private sealed class Content(ByteSource file)
    {
        private readonly ByteWindow _window = new(file);
        private long _position = Magic.Length;

        public int Int32() => BinaryPrimitives.ReadInt32LittleEndian(_window.Bytes(Advance(sizeof(int)), sizeof(int)));

        public string Text()
        {
            int length = (int)CheckLength(Int32(), 1);
            return Encoding.UTF8.GetString(file.Read(Advance(length), length));
        }

        public TensorData Tensor()
        {
            var shape = new int[CheckLength(Int32(), sizeof(int))];
            long count = 1;
            foreach (ref int dimension in shape.AsSpan())
            {
                dimension = Int32();
                ArgumentOutOfRangeException.ThrowIfNegative(dimension);
                count = checked(count * dimension);
            }
            CheckLength(count, sizeof(float));
            var values = new float[count];
            file.Read(Advance(count * sizeof(float)), MemoryMarshal.AsBytes(values.AsSpan()));
            return new TensorData(shape, values);
        }

        /// <summary>Checks that <paramref name="count"/> items of <paramref name="size"/> bytes fit in the rest of the file.</summary>
        private long CheckLength(long count, int size) => count >= 0 && count <= (file.Length - _position) / size ? count : throw new ArgumentException($"a length is {count}");

        /// <summary>Moves behind the next bytes, and returns the position of the first of them.</summary>
        private long Advance(long count)
        {
            _position += count;
            return _position - count;
        }
    }
}
