using System.Buffers.Binary;
using System.IO.Compression;
using RepVgg.Runtime.Files;
using RepVgg.Tool.CommandLine;
using RepVgg.Training.Data;

namespace RepVgg.Tool.Images;

/// <summary>Creates the bundled file: a zip of IDX files with the first images of every class, in the order of the original files.</summary>
internal static class DataPacker
{
    public static IReadOnlyList<OptionSpec> CommandLineOptions { get; } =
    [
        new("data", "DIR", "folder with the four IDX files of Fashion-MNIST (required)"),
        new("out", "FILE", "the zip to write (required)"),
        new("training", "N", "training images, a multiple of 10 (default: 4000)"),
        new("test", "N", "test images, a multiple of 10 (default: 1000)"),
    ];

    private static readonly DateTimeOffset _timestamp = new(1980, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        string path = Path.GetFullPath(arguments.Required("out"));
        var (training, test) = FashionMnist.Full(arguments.Required("data"));
        int trainingCount = arguments.Integer("training", 10) ?? 4000, testCount = arguments.Integer("test", 10) ?? 1000;
        interrupt.Defer(() => Write(path, training, trainingCount, test, testCount, interrupt.Token));
        Console.WriteLine($"{path}: {Table.Number(new FileInfo(path).Length)} bytes.");
        return 0;
    }

    /// <summary>Writes the file. The same input always gives the same bytes.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled; an existing file is unchanged.</exception>
    public static void Write(string path, ISampleSource training, int trainingCount, ISampleSource test, int testCount, CancellationToken cancellation = default)
    {
        (string Prefix, SampleSubset Samples)[] parts = [("train", FirstOfEveryClass(training, trainingCount)), ("t10k", FirstOfEveryClass(test, testCount))];
        AtomicFile.Write(path, stream =>
        {
            using var archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true);
            foreach (var (prefix, samples) in parts)
            {
                Add(archive, $"{prefix}-images-idx3-ubyte", [samples.Count, samples.Height, samples.Width], Pixels(samples), cancellation);
                Add(archive, $"{prefix}-labels-idx1-ubyte", [samples.Count], [.. Enumerable.Range(0, samples.Count).Select(i => (byte)samples.LabelOf(i))], cancellation);
            }
        });
    }

    internal static SampleSubset FirstOfEveryClass(ISampleSource samples, int count)
    {
        if (count % samples.Classes != 0)
            throw new ArgumentException($"{count} images cannot be divided evenly among {samples.Classes} classes.");
        var taken = new int[samples.Classes];
        int perClass = count / samples.Classes;
        int[] indices = [.. Enumerable.Range(0, samples.Count).Where(i => taken[samples.LabelOf(i)]++ < perClass)];
        if (indices.Length < count)
            throw new ArgumentException($"The data contain fewer than {perClass} images of a class.");
        return new SampleSubset(samples, indices);
    }

    private static byte[] Pixels(ISampleSource samples)
    {
        int length = samples.Height * samples.Width;
        var values = new byte[samples.Count * length];
        var image = new float[length];
        for (int i = 0; i < samples.Count; i++)
        {
            samples.Read(i, image);
            for (int p = 0; p < length; p++)
                values[i * length + p] = (byte)image[p];
        }
        return values;
    }

    private static void Add(ZipArchive archive, string name, int[] shape, byte[] values, CancellationToken cancellation)
    {
        const int Part = 1 << 16;
        var entry = archive.CreateEntry(name, CompressionLevel.SmallestSize);
        entry.LastWriteTime = _timestamp;
        using var stream = entry.Open();
        var header = new byte[4 + 4 * shape.Length];
        (header[2], header[3]) = (8, (byte)shape.Length);
        for (int i = 0; i < shape.Length; i++)
            BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4 + 4 * i), shape[i]);
        stream.Write(header);
        for (int at = 0; at < values.Length; at += Part)
        {
            cancellation.ThrowIfCancellationRequested();
            stream.Write(values.AsSpan(at, Math.Min(Part, values.Length - at)));
        }
    }
}
