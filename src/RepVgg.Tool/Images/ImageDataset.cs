using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input.Images;
using RepVgg.Runtime;
using RepVgg.Training.Data;

namespace RepVgg.Tool.Images;

/// <summary>A row of a data set of image files.</summary>
internal sealed class ImageFileRow
{
    /// <summary>Path of the file.</summary>
    public string ImagePath { get; set; } = "";

    /// <summary>Name of the class.</summary>
    public string Label { get; set; } = "";

    /// <summary>Creates the content of the file, for an image that is not in a file of its own; null to read the file.</summary>
    [NoColumn]
    public Func<byte[]>? Content { get; set; }

    /// <summary>The content of the file. Each call reads it.</summary>
    public byte[] Image => Read();

    /// <summary>Reads the content of the file.</summary>
    /// <exception cref="IOException">The file cannot be read, or has no content, as the pipes and devices that would have to be waited for.</exception>
    public byte[] Read()
    {
        if (Content is not null)
            return Content();
        var file = new FileInfo(ImagePath);
        return (file.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? file).Length > 0 ? File.ReadAllBytes(ImagePath) : throw new EndOfStreamException("the file is empty, or a pipe or device");
    }
}

/// <summary>Labelled images of training and validation.</summary>
/// <param name="Classes">Names of the classes, in ordinal order.</param>
/// <param name="Training">The training images.</param>
/// <param name="Validation">The validation images; empty if there are none.</param>
internal sealed record ImageDataset(IReadOnlyList<string> Classes, IReadOnlyList<ImageFileRow> Training, IReadOnlyList<ImageFileRow> Validation)
{
    /// <summary>The pixels of the images if they were in IDX files, which are grey; null if they were in other files.</summary>
    public (ISampleSource Training, ISampleSource Validation)? GreySamples { get; private init; }

    private static readonly string[] _extensions = [".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"], _validationNames = ["val", "valid", "validation", "test"];

    /// <summary>The extensions of image files, for messages.</summary>
    public static string Extensions { get; } = string.Join(", ", _extensions);

    /// <summary>Reads the paths and labels of a data set; the images are not opened.</summary>
    /// <param name="path">
    /// A set of images, see <see cref="ReadFiles"/>; a folder with such a folder <c>train</c> and another one <c>val</c>, <c>valid</c>, <c>validation</c> or <c>test</c>; or a folder
    /// with the four IDX files of MNIST or Fashion-MNIST, whose classes are numbers.
    /// </param>
    /// <param name="validationPath">A set of validation images; null if <paramref name="path"/> has them, or to take them from the training images.</param>
    /// <param name="validationFraction">Share of the images of each class that become validation images if there are no others: 0 to less than 1.</param>
    /// <param name="seed">Selects them.</param>
    /// <exception cref="InvalidDataException">There are no images or not two classes, the sets do not have the same classes, or a file cannot be read as what it should be.</exception>
    /// <exception cref="IOException">A folder or a file cannot be read.</exception>
    public static ImageDataset Read(string path, string? validationPath, double validationFraction, int seed)
    {
        if (validationPath is null && IsIdx(path))
            return ReadIdx(path);
        var sets = validationPath is null ? FindSets(path) : null;
        var training = ReadFiles(sets?.Training ?? path);
        string[] classes = [.. training.Select(row => row.Label).Distinct().Order(StringComparer.Ordinal)];
        if (classes.Length < 2)
            throw new InvalidDataException($"'{path}' has images of one class only, '{MessageText.Printable(classes[0])}'. Two or more classes are needed.");
        if ((validationPath ?? sets?.Validation) is { } other)
        {
            var validation = ReadFiles(other);
            var known = classes.ToHashSet(StringComparer.Ordinal);
            if (validation.FirstOrDefault(row => !known.Contains(row.Label)) is { } stranger)
                throw new InvalidDataException($"'{other}' has images of the class '{MessageText.Printable(stranger.Label)}', such as '{stranger.ImagePath}', of which there is no training image in '{path}'.");
            return new ImageDataset(classes, training, validation);
        }
        return Split(path, classes, training, validationFraction, seed);
    }

    /// <summary>Reads the paths and labels of the images for an evaluation: of a data set that is divided, the validation images, and otherwise all.</summary>
    /// <param name="path">A data set; see <see cref="Read"/>.</param>
    public static IReadOnlyList<ImageFileRow> ReadForEvaluation(string path) =>
        IsIdx(path) ? ReadIdx(path).Validation : ReadFiles(FindSets(path)?.Validation ?? path);

    /// <summary>Reads the paths and labels of a set of images that is not divided.</summary>
    /// <param name="path">A folder with one subfolder of images per class; a tar file of WebDataset (<see cref="TarFile"/>), a folder of them, or their paths with a range of numbers; or a CSV file (<see cref="CsvFile"/>).</param>
    public static IReadOnlyList<ImageFileRow> ReadFiles(string path)
    {
        string[] paths = [.. TarFile.Expand(path)];
        if (paths is [var folder] && Directory.Exists(folder))
            return TarFiles(folder) is { Length: > 0 } shards ? ReadShards(folder, shards) : ReadClasses(folder);
        return [.. paths.SelectMany(ReadFile)];
    }

    /// <summary>Finds the images of a folder and its subfolders, in the order of their paths. Names that begin with a point are left out.</summary>
    public static IEnumerable<string> Images(string folder, SearchOption search) => Directory.EnumerateFiles(folder, "*", search)
        .Where(file => IsImage(file) && !Path.GetRelativePath(folder, file).Split(Path.DirectorySeparatorChar).Any(IsHidden)).Order(StringComparer.Ordinal);

    /// <summary>Whether a path has the extension of an image file.</summary>
    public static bool IsImage(string path) => _extensions.Contains(Path.GetExtension(path), StringComparer.OrdinalIgnoreCase);

    /// <summary>Whether a file or folder is not a part of the data: those of editors, version control and archives of macOS.</summary>
    public static bool IsHidden(string name) => name.StartsWith('.') || name == "__MACOSX";

    private static IReadOnlyList<ImageFileRow> ReadFile(string path)
    {
        if (!File.Exists(path))
            throw new DirectoryNotFoundException($"There is no folder or file '{path}'.");
        TarFile.RefuseCompressed(path);
        if (!TarFile.IsTar(path))
            return CsvFile.ReadLabelled(path);
        return TarFile.ReadLabelled(path) is { Count: > 0 } rows ? rows : throw new InvalidDataException($"'{path}' has no images ({Extensions}).");
    }

    /// <summary>Reads a folder of tar files.</summary>
    private static IReadOnlyList<ImageFileRow> ReadShards(string folder, string[] shards)
    {
        if (Folders(folder).FirstOrDefault(HasImages) is { } beside)
            throw new InvalidDataException($"'{folder}' has tar files and the folder '{beside}' with images. Put them into folders of their own.");
        string[] validation = [.. shards.Where(shard => Words(shard).Any(IsValidation))];
        if (validation.Length > 0 && validation.Length < shards.Length)
            throw new InvalidDataException($"'{folder}' has tar files of several sets, such as '{validation[0]}' and '{shards.Except(validation).First()}'. Put them into folders named train and {ValidationNames}, or give them as a range of numbers, DIR/NAME-{{0000..0099}}.tar, and the validation images by --validation-dataset.");
        return [.. shards.SelectMany(ReadFile)];

        static string[] Words(string path) => Path.GetFileNameWithoutExtension(path).Split([.. "-_. 0123456789"]);
    }

    /// <summary>Reads a folder with one subfolder per class.</summary>
    private static IReadOnlyList<ImageFileRow> ReadClasses(string path)
    {
        string[] folders = Folders(path);
        if (folders.FirstOrDefault(folder => IsSet(Path.GetFileName(folder)) && HasSet(folder)) is { } set)
            throw new InvalidDataException($"'{set}' has subfolders or tar files, so that it seems to be a set of images and not a class. Training and validation images are found in folders named train and {ValidationNames}; or give the folder of the set itself.");
        var rows = new List<ImageFileRow>();
        foreach (string folder in folders)
        {
            int before = rows.Count;
            rows.AddRange(Images(folder, SearchOption.AllDirectories).Select(file => new ImageFileRow { ImagePath = file, Label = Path.GetFileName(folder) }));
            if (rows.Count == before)
                throw new InvalidDataException($"'{folder}' has no images ({Extensions}). Add some, or remove the folder of the class.");
        }
        if (Images(path, SearchOption.TopDirectoryOnly).FirstOrDefault() is { } top)
            throw new InvalidDataException($"'{top}' lies beside the folders of the classes, so that its class is unknown. Put every image into a subfolder of '{path}' with the name of its class.");
        if (rows.Count > 0)
            return rows;
        foreach (string file in Directory.EnumerateFiles(path))
            TarFile.RefuseCompressed(file);
        throw new InvalidDataException($"'{path}' has no subfolders with images ({Extensions}) and no tar files. Each class needs a subfolder of its own.");
    }

    private static ImageDataset ReadIdx(string folder)
    {
        var training = IdxFiles.ReadFolder(folder, "train");
        var test = IdxFiles.ReadFolder(folder, "t10k", training.Classes);
        return new ImageDataset([.. Enumerable.Range(0, training.Classes).Select(Name).Order(StringComparer.Ordinal)], Rows(training, "train"), Rows(test, "t10k")) { GreySamples = (training, test) };

        static string Name(int label) => label.ToString(System.Globalization.CultureInfo.InvariantCulture);

        static IReadOnlyList<ImageFileRow> Rows(ISampleSource samples, string set) =>
            [.. Enumerable.Range(0, samples.Count).Select(i => new ImageFileRow { ImagePath = FormattableString.Invariant($"{set}-{i}.png"), Label = Name(samples.LabelOf(i)), Content = () => Encode(samples, i) })];

        static byte[] Encode(ISampleSource samples, int index) =>
            PngImage.Encode(samples.ReadBytes(index, new byte[samples.Height * samples.Width]), samples.Width, samples.Height);
    }

    /// <summary>Takes a share of the images of each class for validation: at least one of a class with several images, and never all.</summary>
    private static ImageDataset Split(string path, string[] classes, IReadOnlyList<ImageFileRow> rows, double fraction, int seed)
    {
        if (fraction == 0)
            return new ImageDataset(classes, rows, []);
        var paths = new HashSet<string>(StringComparer.Ordinal);
        if (rows.FirstOrDefault(row => !paths.Add(row.ImagePath)) is { } repeated)
            throw new InvalidDataException($"'{path}' lists the image '{MessageText.Printable(repeated.ImagePath)}' more than once, so that it could be both a training and a validation image. List it once, or choose the validation images yourself: --validation-dataset.");
        var random = new Random(seed);
        var validation = new HashSet<ImageFileRow>();
        foreach (var group in rows.GroupBy(row => row.Label).OrderBy(group => group.Key, StringComparer.Ordinal))
        {
            ImageFileRow[] own = [.. group];
            random.Shuffle(own);
            validation.UnionWith(own.Take(Math.Min(own.Length - 1, Math.Max(1, (int)Math.Round(fraction * own.Length)))));
        }
        return new ImageDataset(classes, [.. rows.Where(row => !validation.Contains(row))], [.. rows.Where(validation.Contains)]);
    }

    /// <summary>Finds the folders of the training and validation images in a folder that is divided: both have a folder for each class, or tar files.</summary>
    public static (string Training, string Validation)? FindSets(string path)
    {
        if (!Directory.Exists(path))
            return null;
        string? training = Set("train"), validation = _validationNames.Select(Set).FirstOrDefault(folder => folder is not null);
        return training is not null && validation is not null ? (training, validation) : null;

        string? Set(string name) => Folders(path).FirstOrDefault(folder => Path.GetFileName(folder).Equals(name, StringComparison.OrdinalIgnoreCase) && HasSet(folder));
    }

    private static string ValidationNames => $"{string.Join(", ", _validationNames[..^1])} or {_validationNames[^1]}";

    private static bool IsIdx(string path) => Directory.Exists(path) && IdxFiles.IsFolder(path);

    private static bool IsSet(string name) => IsValidation(name) || name.ToLowerInvariant() is "train" or "training";

    private static bool IsValidation(string word) => _validationNames.Contains(word, StringComparer.OrdinalIgnoreCase);

    private static bool HasSet(string folder) => Folders(folder).Length > 0 || TarFiles(folder).Length > 0;

    private static bool HasImages(string folder) => Images(folder, SearchOption.AllDirectories).Any();

    private static string[] Folders(string path) => [.. Directory.EnumerateDirectories(path).Where(folder => !IsHidden(Path.GetFileName(folder))).Order(StringComparer.Ordinal)];

    private static string[] TarFiles(string path) => [.. Directory.EnumerateFiles(path).Where(file => TarFile.IsTar(file) && !IsHidden(Path.GetFileName(file))).Order(StringComparer.Ordinal)];
}
