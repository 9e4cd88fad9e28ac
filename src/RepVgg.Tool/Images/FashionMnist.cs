using System.IO.Compression;
using RepVgg.Training.Data;

namespace RepVgg.Tool.Images;

/// <summary>Reads Fashion-MNIST, 28x28 grey images of clothes in ten classes: the bundled subset, or the full set from IDX files.</summary>
/// <remarks>Source: Xiao, Rasul, Vollgraf: "Fashion-MNIST", 2017; MIT licence, Zalando SE.</remarks>
internal static class FashionMnist
{
    public const int Size = 28;

    private const string Resource = "fashion-mnist-small.zip";

    /// <summary>The class names in the order of the labels.</summary>
    public static IReadOnlyList<string> ClassNames { get; } =
        ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

    /// <summary>Reads the subset of 4,000 training and 1,000 test images that is embedded in this program; data/README.md describes its origin.</summary>
    public static (InMemorySamples Training, InMemorySamples Test) Bundled()
    {
        using var stream = typeof(FashionMnist).Assembly.GetManifestResourceStream(Resource)
            ?? throw new InvalidDataException($"This build does not contain the bundled images ({Resource}).");
        using var archive = new ZipArchive(stream);
        return (Read(archive, "train"), Read(archive, "t10k"));
    }

    /// <summary>Reads the full set.</summary>
    /// <param name="folder">Folder with the four IDX files, gzip-compressed or not.</param>
    public static (InMemorySamples Training, InMemorySamples Test) Full(string folder)
    {
        var training = IdxFiles.ReadFolder(folder, "train", ClassNames.Count);
        var test = IdxFiles.ReadFolder(folder, "t10k", ClassNames.Count);
        foreach (var samples in new[] { training, test })
        {
            if ((samples.Height, samples.Width) != (Size, Size))
                throw new InvalidDataException($"The images in '{folder}' are {samples.Width}x{samples.Height} pixels; those of Fashion-MNIST are {Size}x{Size}.");
        }
        return (training, test);
    }

    private static InMemorySamples Read(ZipArchive archive, string prefix)
    {
        string imagesName = $"{prefix}-images-idx3-ubyte", labelsName = $"{prefix}-labels-idx1-ubyte";
        using var images = Open(archive, imagesName);
        using var labels = Open(archive, labelsName);
        return IdxFiles.Read(images, imagesName, labels, labelsName, ClassNames.Count);
    }

    private static Stream Open(ZipArchive archive, string name) =>
        archive.GetEntry(name)?.Open() ?? throw new InvalidDataException($"{Resource} does not contain {name}.");
}
