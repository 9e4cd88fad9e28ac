using System.Buffers.Binary;
using System.IO.Compression;
using Microsoft.ML.Data;

namespace RepVgg.Samples;

/// <summary>A row of the data: an image of Fashion-MNIST and its class. Source: Xiao, Rasul, Vollgraf: "Fashion-MNIST", 2017.</summary>
internal sealed class ImageRow
{
    private const int Size = 28;

    private static readonly string[] _classNames = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

    /// <summary>The raw pixel values 0..255, in the order of the dimensions: channels, height, width.</summary>
    [VectorType(1, Size, Size)]
    public float[] Features { get; set; } = [];

    /// <summary>The name of the class.</summary>
    public string Label { get; set; } = "";

    /// <summary>Reads the bundled images: 4,000 for training, 1,000 for testing.</summary>
    /// <param name="set">"train" or "t10k", as in the names of the files.</param>
    public static IEnumerable<ImageRow> ReadBundled(string set)
    {
        using var archive = new ZipArchive(typeof(ImageRow).Assembly.GetManifestResourceStream("fashion-mnist-small.zip")!);
        return Read(set, name => archive.GetEntry(name)!.Open());
    }

    /// <summary>Reads the files of the full set from a folder, gzip-compressed or not.</summary>
    /// <exception cref="InvalidDataException">A file is not such an IDX file, or the files do not belong together.</exception>
    public static IEnumerable<ImageRow> ReadFolder(string folder, string set) => Read(set, name =>
    {
        string path = Path.Combine(folder, name);
        return File.Exists(path) ? File.OpenRead(path) : new GZipStream(File.OpenRead(path + ".gz"), CompressionMode.Decompress);
    });

    private static IEnumerable<ImageRow> Read(string set, Func<string, Stream> open)
    {
        string imagesName = $"{set}-images-idx3-ubyte", labelsName = $"{set}-labels-idx1-ubyte";
        byte[] pixels = ReadIdx(open, imagesName, Size, Size), labels = ReadIdx(open, labelsName);
        if (pixels.Length != labels.Length * Size * Size)
            throw new InvalidDataException($"{imagesName} and {labelsName} do not have the same number of items.");
        if (labels.Any(label => label >= _classNames.Length))
            throw new InvalidDataException($"{labelsName} has a label above {_classNames.Length - 1}.");
        // The rows are created each time they are read, so that only the bytes stay in memory.
        return labels.Select((label, i) => new ImageRow { Features = Array.ConvertAll(pixels[(i * Size * Size)..((i + 1) * Size * Size)], pixel => (float)pixel), Label = _classNames[label] });
    }

    /// <summary>Reads an IDX file: two zeros, the type of the values (8: bytes), the number of dimensions, the dimensions as big-endian integers, and the values.</summary>
    private static byte[] ReadIdx(Func<string, Stream> open, string name, params int[] itemShape)
    {
        using var stream = open(name);
        using var content = new MemoryStream();
        stream.CopyTo(content);
        byte[] bytes = content.ToArray();
        int[] header = [.. Enumerable.Range(0, Math.Min(itemShape.Length + 2, bytes.Length / 4)).Select(i => BinaryPrimitives.ReadInt32BigEndian(bytes.AsSpan(4 * i)))];
        if (header is not [var magic, var count, .. var shape] || magic != 0x801 + itemShape.Length || !shape.SequenceEqual(itemShape) || bytes.Length - 4 * header.Length != itemShape.Aggregate((long)count, (product, side) => product * side))
            throw new InvalidDataException($"{name} is damaged, or it is not an IDX file of bytes with the dimensions [{string.Join(", ", ["N", .. itemShape.Select(side => $"{side}")])}].");
        return bytes[(4 * header.Length)..];
    }
}

/// <summary>What a model says about an image.</summary>
internal sealed class Prediction
{
    /// <summary>The name of the predicted class.</summary>
    public string PredictedLabel { get; set; } = "";

    /// <summary>One probability per class.</summary>
    public float[] Score { get; set; } = [];
}
