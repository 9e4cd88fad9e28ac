using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.ML;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Input.Images;
using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Tool.Weights;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Training.Data;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;
using RepVgg.Weights.Files;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;

namespace RepVgg.Reliability.Tests.Fuzzing;

/// <summary>The readers, and sound files for each.</summary>
internal static partial class FuzzTargets
{
    private const string Pickle = "data.pkl", OnnxEntry = "OnnxModel";
    private const int LargestGolden = 20_000, HashLength = 32, IdxImages = 6, IdxSize = 5;

    private static readonly RepVggArchitecture _tiny = RandomNetworks.Architecture(1, 1, SqueezeExcitation.None, (2, 1, 1), (2, 1, 2));
    private static readonly ModelDescription _description = new(_tiny, 2, 4, 4, Normalization.Identity(1), ["a", "b"]);
    private static readonly ImageDecoding _decoding = new(MaximumPixels: 1 << 20);
    private static readonly ThreadLocal<MLContext> _context = new(() => new MLContext(seed: 1));
    private static readonly InMemorySamples _checkpointSamples = SyntheticTask.Samples(16, 1);
    private static readonly byte[] _idxImages = IdxBytes.Idx(Enumerable.Range(0, IdxImages * IdxSize * IdxSize).Select(i => (byte)i).ToArray(), IdxImages, IdxSize, IdxSize);
    private static readonly byte[] _idxLabels = IdxBytes.Idx([0, 1, 2, 0, 1, 2], IdxImages);

    /// <summary>All readers.</summary>
    public static IReadOnlyList<FuzzTarget> All { get; } =
    [
        // Beside the share of the file, operations on constants may compute 16 MiB, and the weights may take 16 MiB.
        new("onnx", 14_000, Files("onnx", Onnx, ChangeOnnx), [input => OnnxReader.ReadDescription(input.Stream), input => OnnxReader.Read(input.Stream)], typeof(InvalidDataException)) { BytesPerByte = 30, OtherBytes = 33 << 20 },
        new("onnx-engine", 8_000, Files("onnx", Onnx, ChangeOnnx), [input => InferenceEngine.Open(input.Path, threads: 1).Dispose(), input => WeightsFile.Read(input.Path)], typeof(InvalidDataException), typeof(IOException)) { BytesPerByte = 30, OtherBytes = 33 << 20 },
        new("pth-zip", 12_000, Files("pth", () => Golden("*-zip.pth", "*.pth"), file => IsZip(file) ? ChangePthZip(file) : null), [ReadPth], typeof(InvalidDataException)) { BytesPerByte = 30, OtherBytes = 1 << 20 },
        new("pth-legacy", 8_000, Files("pth-legacy", () => Golden("*-legacy.pth"), file => new PickleMutations(file).Change), [ReadPth], typeof(InvalidDataException)) { BytesPerByte = 30, OtherBytes = 1 << 20 },
        new("pickle", 12_000, Files("pickle", () => Golden("*.pth").Where(IsZip), ChangePickle), [ReadPth], typeof(InvalidDataException)) { BytesPerByte = 30, OtherBytes = 1 << 20 },
        new("safetensors", 12_000, Files("safetensors", Safetensors, file => random => ChangeSafetensors(file, random)), [input => SafetensorsReader.ReadDescription(input.Stream), input => SafetensorsReader.Read(input.Stream), input => WeightsFile.Read(input.Path)], typeof(InvalidDataException)) { BytesPerByte = 30, OtherBytes = 1 << 20 },
        new("checkpoint", 6_000, Files("checkpoint", Checkpoints, file => random => ChangeCheckpoint(file, random)), [input => WeightsFile.Read(input.Path), Resume], typeof(InvalidDataException)) { BytesPerByte = 30, OtherBytes = 1 << 20 },
        new("description", 10_000, Files("description", Descriptions, file => random => ChangeDescription(file, random)), [ReadDescription], typeof(FormatException)) { BytesPerByte = 30, OtherBytes = 1 << 20 },
        new("idx", 6_000, Files("idx", Idx, file => random => ChangeIdx(file, random)), [
            input => IdxFiles.Read(input.Stream, "images", new MemoryStream(_idxLabels), "labels"),
            input => IdxFiles.Read(new MemoryStream(_idxImages), "images", input.Stream, "labels"),
        ], typeof(InvalidDataException)) { BytesPerByte = 30, OtherBytes = 1 << 20 },
        new("numpy", 5_000, Files("numpy", Numpy, file => random => ChangeNumpy(file, random)), [input => NumpyFile.Read(input.Path), input => NumpyFile.ReadInt64(input.Path)], typeof(InvalidDataException)) { BytesPerByte = 30, OtherBytes = 1 << 20 },
        new("model-zip", 2_000, Files("model-zip", Models, ChangeModel), [ReadModel], typeof(InvalidDataException)) { BytesPerByte = 100, OtherBytes = 4 << 20 },
        new("image", 5_000, Files("image", () => Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "Images")).Select(File.ReadAllBytes), file => file is [0x89, (byte)'P', ..] ? random => ChangePng(file, random) : null), [input => ImageDecoder.ReadSize(input.Bytes, _decoding), input => ImageDecoder.Decode(input.Bytes, _decoding).Dispose()], typeof(ImageException)) { BytesPerByte = 30, OtherBytes = 1 << 20 },
    ];

    /// <summary>The inputs of a reader that once were not read as documented.</summary>
    public static IEnumerable<string> Found(string reader)
    {
        string folder = Path.Combine(AppContext.BaseDirectory, "Data", reader);
        return Directory.Exists(folder) ? Directory.GetFiles(folder) : [];
    }

    /// <summary>Sound and found files.</summary>
    private static Lazy<IReadOnlyList<Seed>> Files(string found, Func<IEnumerable<byte[]>> sound, Func<byte[], Func<Random, byte[]>?> change) => new(() =>
        [.. sound().Select(file => new Seed(file, change(file))), .. Found(found).Select(path => new Seed(File.ReadAllBytes(path)) { IsFound = true })]);

    private static IEnumerable<byte[]> Golden(params string[] patterns) => patterns
        .SelectMany(pattern => new[] { "pytorch", "checkpoints", "cases" }.SelectMany(folder => Directory.GetFiles(GoldenFiles.PathOf(folder), pattern)))
        .Where(path => new FileInfo(path).Length <= 2 * LargestGolden).Distinct().Order(StringComparer.Ordinal).Select(File.ReadAllBytes);

    private static byte[] Written(Action<MemoryStream> write)
    {
        using var stream = new MemoryStream();
        write(stream);
        return stream.ToArray();
    }

    private static IEnumerable<byte[]> Onnx()
    {
        RepVggArchitecture[] architectures =
        [
            RandomNetworks.Architecture(1, 1, SqueezeExcitation.AfterRelu, (4, 1, 1), (4, 1, 2)),
            RandomNetworks.Architecture(3, 2, SqueezeExcitation.None, (4, 2, 2), (8, 1, 1)),
            RandomNetworks.Architecture(1, 1, SqueezeExcitation.BeforeRelu, (16, 1, 2), (16, 1, 1)),
        ];
        var written = architectures.Select(architecture => Written(stream => OnnxWriter.Write(RandomNetworks.Create(architecture, 4, 4, 2), stream)));
        var golden = new[] { "variants", "refused" }.SelectMany(folder => Directory.GetFiles(GoldenFiles.PathOf(Path.Combine("onnx", folder)), "*.onnx"))
            .Where(path => new FileInfo(path).Length <= LargestGolden).Order(StringComparer.Ordinal);
        return written.Concat(golden.Select(File.ReadAllBytes));
    }

    private static Func<Random, byte[]> ChangeOnnx(byte[] file) => new ProtoMutations(file).Change;

    private static bool IsZip(byte[] file) => file is [(byte)'P', (byte)'K', 3, 4, ..];

    private static Func<Random, byte[]> ChangePthZip(byte[] file) => new ZipMutations(file).Change;

    private static Func<Random, byte[]>? ChangePickle(byte[] file)
    {
        var zip = new ZipMutations(file);
        if (!zip.Has(Pickle))
            return null;
        byte[] pickle = zip.Content(Pickle);
        var mutations = new PickleMutations(pickle);
        return random => zip.Replace(Pickle, _ => random.Next(4) == 0 ? ByteMutations.Change(pickle, random) : mutations.Change(random));
    }

    private static void ReadPth(FuzzInput input) => PthReader.Read(input.Stream);

    private static IEnumerable<byte[]> Safetensors()
    {
        var state = new StateDict { ["a"] = TensorData.Zeros(2, 3), ["b"] = TensorData.Zeros(4), ["c"] = TensorData.Zeros() };
        yield return Written(stream => SafetensorsWriter.Write(state, stream, _description));
        yield return Written(stream => SafetensorsWriter.Write(RandomStates.Training(_tiny, 2), stream, _description));
        yield return Written(stream => SafetensorsWriter.Write(RandomNetworks.Create(_tiny, 4, 4, 2).ExportState(), stream));
    }

    private static byte[] ChangeSafetensors(byte[] file, Random random)
    {
        int length = (int)BinaryPrimitives.ReadInt64LittleEndian(file);
        byte[] header = Encoding.UTF8.GetBytes(JsonMutations.Change(Encoding.UTF8.GetString(file, 8, length), random));
        byte[] size = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(size, header.Length);
        return [.. size, .. header, .. file[(8 + length)..]];
    }

    private static IEnumerable<byte[]> Checkpoints()
    {
        var options = SyntheticTask.Options with { Epochs = 2, BatchSize = 8 };
        yield return Checkpoint(null, options);
        yield return Checkpoint(SyntheticTask.Samples(8, 2), options with { Epochs = 3, EmaDecay = 0.9f });
    }

    /// <summary>A checkpoint in which all times are one second, so that it is the same in every process.</summary>
    private static byte[] Checkpoint(ISampleSource? validation, TrainingOptions options)
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("run.checkpoint");
        SyntheticTask.Train(_checkpointSamples, validation, options with { CheckpointPath = path }, architecture: _tiny);
        var (text, tensors) = CheckpointFile.Read(path);
        CheckpointFile.Write(path, Time().Replace(text, "\"00:00:01\""), tensors);
        return File.ReadAllBytes(path);
    }

    /// <summary>Changes the text, or any bytes, and makes the checksum right again.</summary>
    private static byte[] ChangeCheckpoint(byte[] file, Random random)
    {
        byte[] content = file[..^HashLength];
        if (random.Next(2) == 0)
        {
            const int Start = 12;
            int length = BinaryPrimitives.ReadInt32LittleEndian(content.AsSpan(Start - 4));
            byte[] text = Encoding.UTF8.GetBytes(JsonMutations.Change(Encoding.UTF8.GetString(content, Start, length), random));
            byte[] size = new byte[4];
            BinaryPrimitives.WriteInt32LittleEndian(size, text.Length);
            content = [.. content[..(Start - 4)], .. size, .. text, .. content[(Start + length)..]];
        }
        else
        {
            content = ByteMutations.Change(content, random);
        }
        return [.. content, .. SHA256.HashData(content)];
    }

    /// <summary>Resumes a run if the file belongs to it.</summary>
    private static void Resume(FuzzInput input)
    {
        try
        {
            SyntheticTask.Train(_checkpointSamples, null, SyntheticTask.Options with { Epochs = 2, BatchSize = 8, CheckpointPath = input.Path }, architecture: _tiny);
        }
        catch (InvalidOperationException error) when (error.GetType() == typeof(InvalidOperationException))
        {
            // The documented error for a checkpoint of another run. Its message is checked as that of a damaged one.
            throw new InvalidDataException(error.Message, error);
        }
    }

    private static IEnumerable<byte[]> Descriptions()
    {
        ModelDescription[] descriptions =
        [
            _description,
            new(RepVggVariants.A0, 1000, 224, 224, Normalization.ImageNet, []),
            new(GoldenNetworks.All["tinyplus-pse"], 10, 32, 32, Normalization.ImageNet, [.. Enumerable.Range(0, 10).Select(i => $"class {i}")]),
        ];
        return descriptions.Select(description => JsonSerializer.SerializeToUtf8Bytes(description.ToProperties().ToDictionary()));
    }

    private static byte[] ChangeDescription(byte[] file, Random random)
    {
        var properties = JsonSerializer.Deserialize<Dictionary<string, string>>(file)!;
        string key = properties.Keys.ElementAt(random.Next(properties.Count));
        if (random.Next(10) == 0)
            properties.Remove(key);
        else
            properties[key] = JsonMutations.Change(properties[key], random);
        return JsonSerializer.SerializeToUtf8Bytes(properties);
    }

    private static void ReadDescription(FuzzInput input)
    {
        Dictionary<string, string>? properties = null;
        try
        {
            properties = JsonSerializer.Deserialize<Dictionary<string, string>>(input.Bytes);
        }
        catch (JsonException)
        {
            // The properties are the input, and not the JSON that they are stored in here.
        }
        if (properties is not null && !properties.ContainsValue(null!))
            ModelDescription.FromProperties(properties, input.Bytes.Length);
    }

    private static IEnumerable<byte[]> Idx() => [_idxImages, _idxLabels, IdxBytes.Gzip(_idxImages), IdxBytes.Gzip(_idxLabels)];

    private static byte[] ChangeIdx(byte[] file, Random random)
    {
        // Damaged content in sound gzip, as well as plain.
        byte[] plain = file.Length == _idxLabels.Length || random.Next(2) == 0 ? _idxLabels : _idxImages;
        byte[] changed = ByteMutations.Change(plain, random);
        return file is [0x1f, 0x8b, ..] ? IdxBytes.Gzip(changed) : changed;
    }

    private static IEnumerable<byte[]> Numpy()
    {
        foreach (string name in (string[])["checkpoints/input.npy", "checkpoints/logits.npy", "trace-nesterov-targets.npy", "tiny-logits-train.npy"])
            yield return File.ReadAllBytes(GoldenFiles.PathOf(name));
    }

    private static byte[] ChangeNumpy(byte[] file, Random random)
    {
        const int Start = 10;
        int length = BinaryPrimitives.ReadUInt16LittleEndian(file.AsSpan(8));
        string header = JsonMutations.Change(Encoding.Latin1.GetString(file, Start, length).Replace('(', '[').Replace(')', ']').Replace('\'', '"'), random).Replace('[', '(').Replace(']', ')').Replace('"', '\'');
        byte[] size = new byte[2];
        BinaryPrimitives.WriteUInt16LittleEndian(size, (ushort)Math.Min(header.Length, ushort.MaxValue));
        return [.. file[..8], .. size, .. Encoding.Latin1.GetBytes(header), .. file[(Start + length)..]];
    }

    private static IEnumerable<byte[]> Models()
    {
        var context = new MLContext(seed: 1);
        var rows = context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 1));
        yield return Model(stream => context.Model.Save(Stripes.Pipeline(context, Stripes.Options(epochs: 1)).Fit(rows), rows.Schema, stream));
        var featurizer = context.Transforms.RepVggFeaturizer(new RepVggFeaturizingEstimator.Options { InputColumnName = "Features", Network = RandomNetworks.Create(Stripes.Tiny, Stripes.Size, Stripes.Size, 2) });
        yield return Model(stream => context.Model.Save(featurizer.Fit(rows), rows.Schema, stream));
    }

    private static byte[] Model(Action<MemoryStream> save) => new ZipMutations(Written(save)) { IsCompressed = true }.Unchanged;

    /// <summary>Changes the zip file or the network in it, but not the content of ML.NET's own entries, whose reader makes no promise.</summary>
    private static Func<Random, byte[]> ChangeModel(byte[] file)
    {
        var zip = new ZipMutations(file) { IsCompressed = true };
        var network = new ProtoMutations(zip.Content(OnnxEntry)[4..]);
        return random => random.Next(4) == 0 ? zip.Change(random) : zip.Replace(OnnxEntry, _ =>
        {
            byte[] changed = network.Change(random);
            byte[] size = new byte[4];
            BinaryPrimitives.WriteInt32LittleEndian(size, changed.Length);
            return [.. size, .. changed];
        });
    }

    private static void ReadModel(FuzzInput input) => _context.Value!.Model.LoadRepVgg(input.Stream, out _).Dispose();

    /// <summary>Changes a chunk of a PNG file, and makes its checksum right again.</summary>
    private static byte[] ChangePng(byte[] file, Random random)
    {
        const int Signature = 8, Around = 12;
        var chunks = new List<byte[]>();
        for (int at = Signature; at + Around <= file.Length;)
        {
            int length = BinaryPrimitives.ReadInt32BigEndian(file.AsSpan(at));
            chunks.Add(file[(at + 4)..(at + 8 + length)]);
            at += Around + length;
        }
        int changed = random.Next(chunks.Count);
        switch (random.Next(5))
        {
            case 0:
                chunks.RemoveAt(changed);
                break;
            case 1:
                chunks.Insert(random.Next(chunks.Count), chunks[changed]);
                break;
            default:
                chunks[changed] = [.. chunks[changed][..4], .. ByteMutations.Change(chunks[changed].AsSpan(4), random)];
                break;
        }
        return Written(stream =>
        {
            stream.Write(file, 0, Signature);
            Span<byte> number = stackalloc byte[4];
            foreach (byte[] chunk in chunks)
            {
                BinaryPrimitives.WriteInt32BigEndian(number, chunk.Length - 4);
                stream.Write(number);
                stream.Write(chunk);
                var crc = new Crc32();
                crc.Append(chunk);
                BinaryPrimitives.WriteUInt32BigEndian(number, crc.Value);
                stream.Write(number);
            }
        });
    }

    [GeneratedRegex(@"""[0-9]{2}:[0-9]{2}:[0-9.]+""")]
    private static partial Regex Time();
}
