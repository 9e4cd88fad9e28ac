using System.Drawing;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Tool.CommandLine;
using RepVgg.Training.Data;
using static Microsoft.ML.Transforms.Image.ImageResizingEstimator;

namespace RepVgg.Tool.Images;

/// <summary>Training and test images of the same size and with the same classes.</summary>
/// <param name="Training">The training images.</param>
/// <param name="Test">The test images.</param>
internal sealed record LabelledImages(ISampleSource Training, ISampleSource Test)
{
    /// <summary>Share of the pictures of each class that are test images if the folder has no test set.</summary>
    private const double TestFraction = 0.2;

    private const int MeasuredPictures = 16;

    private static readonly ImageDecoding _decoding = new();

    private static readonly string[] _extensions = [".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"];

    /// <summary>The command-line option of the folder that <see cref="Of"/> reads.</summary>
    public static OptionSpec Option { get; } =
        new("data", "DIR", "folder with four IDX files, or with a subfolder of pictures for each class, also within train and test (default: the bundled images)");

    /// <summary>Reads the folder of the command line, or the bundled images if none is given; see <see cref="Read"/>.</summary>
    public static LabelledImages Of(Arguments arguments, CancellationToken cancellation) => arguments.Text(Option.Name) is { } folder ? Read(folder, cancellation) : Bundled();

    /// <summary>The bundled images.</summary>
    public static LabelledImages Bundled()
    {
        var (training, test) = FashionMnist.Bundled();
        return new LabelledImages(training, test);
    }

    /// <summary>Reads a folder.</summary>
    /// <param name="folder">
    /// A folder with the four IDX files of MNIST or Fashion-MNIST, of any image size and any number of classes; or with one subfolder of pictures per
    /// class. The subfolders can be in <c>train</c> and <c>test</c>; otherwise a fifth of every class is the test set, the same in every call.
    /// </param>
    /// <param name="cancellation">Checked before every picture.</param>
    /// <exception cref="InvalidDataException">A file cannot be read as an image or IDX file, or the training and test images do not fit together.</exception>
    /// <exception cref="IOException">The folder or a file cannot be read.</exception>
    public static LabelledImages Read(string folder, CancellationToken cancellation)
    {
        if (!Directory.Exists(folder))
            throw new DirectoryNotFoundException($"There is no folder '{folder}'.");
        return Directory.EnumerateDirectories(folder).Any() ? ReadPictures(folder, cancellation) : ReadIdx(folder);
    }

    private static LabelledImages ReadIdx(string folder)
    {
        var training = IdxFiles.ReadFolder(folder, "train");
        var test = IdxFiles.ReadFolder(folder, "t10k", training.Classes);
        return (training.Width, training.Height) == (test.Width, test.Height)
            ? new LabelledImages(training, test)
            : throw new InvalidDataException($"In '{folder}', the training images are {training.Width}x{training.Height} pixels and the test images {test.Width}x{test.Height}.");
    }

    private static LabelledImages ReadPictures(string folder, CancellationToken cancellation)
    {
        string training = Path.Combine(folder, "train"), test = Path.Combine(folder, "test");
        bool hasTestSet = HasFolders(test);
        // A class can have either name, but a class has no subfolders.
        if (hasTestSet != HasFolders(training))
        {
            string present = hasTestSet ? test : training, missing = hasTestSet ? training : test;
            throw new InvalidDataException($"There is a folder '{present}' but no '{missing}'. Add it, or give '{present}' itself: then a fifth of the pictures of each class is the test set.");
        }
        string[] classes = Classes(hasTestSet ? training : folder);
        if (hasTestSet && !classes.SequenceEqual(Classes(test), StringComparer.Ordinal))
            throw new InvalidDataException($"'{training}' and '{test}' do not have the same subfolders. Each class needs one in both.");
        (int Width, int Height)[] sizes = [.. classes.SelectMany(name => Pictures(Path.Combine(hasTestSet ? training : folder, name)))
            .Take(MeasuredPictures)
            .Select(path => ImageDecoder.ReadSize(File.ReadAllBytes(path), _decoding))
            .OfType<(int, int)>()];
        if (sizes.Length == 0)
            throw new InvalidDataException($"The subfolders of '{folder}' hold no pictures ({string.Join(", ", _extensions)}).");
        if (classes.Length < 2)
            throw new InvalidDataException($"'{(hasTestSet ? training : folder)}' holds pictures of one class only, '{classes[0]}'. Two or more are needed, each in a subfolder of its own.");
        var (height, width) = ImageSizes.Choose(sizes);
        if (hasTestSet)
            return new LabelledImages(ReadClasses(training, classes, height, width, cancellation), ReadClasses(test, classes, height, width, cancellation));
        var (rest, heldOut) = SampleSubset.Split(ReadClasses(folder, classes, height, width, cancellation), TestFraction, seed: 1);
        return new LabelledImages(rest, heldOut);
    }

    private static bool HasFolders(string folder) => Directory.Exists(folder) && Directory.EnumerateDirectories(folder).Any();

    private static string[] Classes(string folder) => [.. Directory.EnumerateDirectories(folder).Select(path => Path.GetFileName(path)!).Order(StringComparer.Ordinal)];

    private static IEnumerable<string> Pictures(string folder) =>
        Directory.EnumerateFiles(folder).Where(path => _extensions.Contains(Path.GetExtension(path), StringComparer.OrdinalIgnoreCase)).Order(StringComparer.Ordinal);

    /// <summary>Reads colour images of one size.</summary>
    private static InMemorySamples ReadClasses(string folder, string[] classes, int height, int width, CancellationToken cancellation)
    {
        const int Channels = 3;
        (string Path, int Label)[] files = [.. classes.SelectMany((name, label) => Pictures(Path.Combine(folder, name)).Select(path => (path, label)))];
        if (classes.Index().FirstOrDefault(entry => !files.Any(file => file.Label == entry.Index)).Item is { } empty)
            throw new InvalidDataException($"'{Path.Combine(folder, empty)}' holds no pictures ({string.Join(", ", _extensions)}). Add some, or remove the folder of the class.");
        int length = Channels * height * width;
        if ((long)files.Length * length > Array.MaxLength)
            throw new InvalidDataException($"'{folder}' holds {files.Length} pictures, which do not fit into memory at {width}x{height} pixels. Use fewer or smaller ones.");
        byte[] pixels = new byte[files.Length * length];
        using var resizer = new ImageResizer(height, width, ResizingKind.IsoCrop, Anchor.Center, ImageResizer.Background(Color.White, Channels));
        for (int i = 0; i < files.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            try
            {
                using var picture = ImageDecoder.Decode(File.ReadAllBytes(files[i].Path), _decoding);
                resizer.Resize(picture, pixels.AsSpan(i * length, length));
            }
            catch (ImageException error)
            {
                throw new InvalidDataException($"'{files[i].Path}' cannot be read: {error.Message}.", error);
            }
        }
        return new InMemorySamples(pixels, [.. files.Select(file => file.Label)], Channels, height, width, classes.Length);
    }
}
