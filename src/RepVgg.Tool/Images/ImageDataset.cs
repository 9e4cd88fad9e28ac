using Microsoft.ML.Data;
using RepVgg.Runtime;
using RepVgg.Training.Data;
using SkiaSharp;

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

    /// <summary>Reads the content of the file.</summary>
    public byte[] Read() => Content is null ? File.ReadAllBytes(ImagePath) : Content();
}

/// <summary>Labelled image files of training and validation.</summary>
/// <param name="Classes">Names of the classes, in ordinal order.</param>
/// <param name="Training">The training images.</param>
/// <param name="Validation">The validation images; empty if there are none.</param>
internal sealed record ImageDataset(IReadOnlyList<string> Classes, IReadOnlyList<ImageFileRow> Training, IReadOnlyList<ImageFileRow> Validation)
{
    /// <summary>Whether all images are grey, which is known of IDX files.</summary>
    public bool AreGrey { get; private init; }

    private static readonly string[] _extensions = [".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"], _validationNames = ["val", "valid", "validation", "test"];

    /// <summary>Reads the paths and labels of a data set; the images are not opened.</summary>
    /// <param name="path">
    /// A folder with one subfolder of images per class; a folder with such a folder <c>train</c> and another one <c>val</c>, <c>valid</c>, <c>validation</c> or <c>test</c>; or a CSV file
    /// whose columns <c>path</c> and <c>label</c> (or its first two) are paths, relative to its folder, and names of classes; or a folder with the four IDX files of MNIST or
    /// Fashion-MNIST, whose classes are numbers.
    /// </param>
    /// <param name="validationPath">A data set of validation images, without a division of its own; null if <paramref name="path"/> has them, or to take them from the training images.</param>
    /// <param name="validationFraction">Share of the images of each class that become validation images if there are no others: 0 to less than 1.</param>
    /// <param name="seed">Selects them.</param>
    /// <exception cref="InvalidDataException">There are no images or not two classes, or the sets do not have the same classes.</exception>
    /// <exception cref="IOException">The folder or the file cannot be read.</exception>
    public static ImageDataset Read(string path, string? validationPath, double validationFraction, int seed)
    {
        if (validationPath is null && Directory.Exists(path) && IdxFiles.IsFolder(path))
            return ReadIdx(path);
        var sets = validationPath is null && Directory.Exists(path) ? FindSets(path) : null;
        var training = ReadFiles(sets?.Training ?? path);
        string[] classes = [.. training.Select(row => row.Label).Distinct().Order(StringComparer.Ordinal)];
        if (classes.Length < 2)
            throw new InvalidDataException($"'{path}' has images of one class only, '{MessageText.Printable(classes[0])}'. Two or more classes are needed, each in a subfolder of its own.");
        if ((validationPath ?? sets?.Validation) is { } other)
        {
            var validation = ReadFiles(other);
            if (validation.FirstOrDefault(row => !classes.Contains(row.Label, StringComparer.Ordinal)) is { } stranger)
                throw new InvalidDataException($"'{other}' has images of the class '{MessageText.Printable(stranger.Label)}', such as '{stranger.ImagePath}', of which there is no training image in '{path}'.");
            return new ImageDataset(classes, training, validation);
        }
        return Split(classes, training, validationFraction, seed);
    }

    /// <summary>Reads the paths and labels of images that are not divided: a folder with one subfolder per class, or a CSV file; see <see cref="Read"/>.</summary>
    public static IReadOnlyList<ImageFileRow> ReadFiles(string path)
    {
        if (File.Exists(path))
            return ReadCsv(path);
        if (!Directory.Exists(path))
            throw new DirectoryNotFoundException($"There is no folder or file '{path}'.");
        string[] folders = Folders(path);
        if (folders.FirstOrDefault(folder => IsSet(Path.GetFileName(folder)) && Folders(folder).Length > 0) is { } set)
            throw new InvalidDataException($"'{set}' has subfolders, so that it seems to be a set of images and not a class. Training and validation images are found in folders named train and {string.Join(", ", _validationNames[..^1])} or {_validationNames[^1]}; or give the folder of the set itself.");
        var rows = new List<ImageFileRow>();
        foreach (string folder in folders)
        {
            int before = rows.Count;
            rows.AddRange(Images(folder, SearchOption.AllDirectories).Select(file => new ImageFileRow { ImagePath = file, Label = Path.GetFileName(folder) }));
            if (rows.Count == before)
                throw new InvalidDataException($"'{folder}' has no images ({string.Join(", ", _extensions)}). Add some, or remove the folder of the class.");
        }
        if (Images(path, SearchOption.TopDirectoryOnly).FirstOrDefault() is { } top)
            throw new InvalidDataException($"'{top}' lies beside the folders of the classes, so that its class is unknown. Put every image into a subfolder of '{path}' with the name of its class.");
        return rows.Count > 0 ? rows : throw new InvalidDataException($"'{path}' has no subfolders with images ({string.Join(", ", _extensions)}). Each class needs a subfolder of its own.");
    }

    /// <summary>Finds the images of a folder and its subfolders, in the order of their paths. Names that begin with a point are left out.</summary>
    public static IEnumerable<string> Images(string folder, SearchOption search) => Directory.EnumerateFiles(folder, "*", search)
        .Where(file => IsImage(file) && !Path.GetRelativePath(folder, file).Split(Path.DirectorySeparatorChar).Any(IsHidden)).Order(StringComparer.Ordinal);

    /// <summary>Whether a path has the extension of an image file.</summary>
    public static bool IsImage(string path) => _extensions.Contains(Path.GetExtension(path), StringComparer.OrdinalIgnoreCase);

    /// <summary>Splits a line of a CSV file; fields may be in quotation marks.</summary>
    public static string[] Fields(string line)
    {
        var fields = new List<string>();
        var field = new System.Text.StringBuilder();
        bool quoted = false;
        for (int i = 0; i < line.Length; i++)
        {
            if (line[i] == '"' && quoted && i + 1 < line.Length && line[i + 1] == '"')
                field.Append(line[i++]);
            else if (line[i] == '"')
                quoted = !quoted;
            else if (line[i] == ',' && !quoted)
                Next();
            else
                field.Append(line[i]);
        }
        Next();
        return [.. fields];

        void Next()
        {
            fields.Add(field.ToString().Trim());
            field.Clear();
        }
    }

    private static ImageDataset ReadIdx(string folder)
    {
        var training = IdxFiles.ReadFolder(folder, "train");
        var test = IdxFiles.ReadFolder(folder, "t10k", training.Classes);
        return new ImageDataset([.. Enumerable.Range(0, training.Classes).Select(Name).Order(StringComparer.Ordinal)], Rows(training, "train"), Rows(test, "t10k")) { AreGrey = true };

        static string Name(int label) => label.ToString(System.Globalization.CultureInfo.InvariantCulture);

        IReadOnlyList<ImageFileRow> Rows(ISampleSource samples, string set) =>
            [.. Enumerable.Range(0, samples.Count).Select(i => new ImageFileRow { ImagePath = FormattableString.Invariant($"{set}-{i}.png"), Label = Name(samples.LabelOf(i)), Content = () => Encode(samples, i) })];
    }

    /// <summary>Encodes a grey image as PNG.</summary>
    private static byte[] Encode(ISampleSource samples, int index)
    {
        float[] values = new float[samples.Height * samples.Width];
        samples.Read(index, values);
        byte[] pixels = Array.ConvertAll(values, value => (byte)value);
        using var picture = SKImage.FromPixelCopy(new SKImageInfo(samples.Width, samples.Height, SKColorType.Gray8, SKAlphaType.Opaque), pixels);
        using var encoded = picture.Encode(SKEncodedImageFormat.Png, 100);
        return encoded.ToArray();
    }

    private static List<ImageFileRow> ReadCsv(string path)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        string[] lines;
        try
        {
            lines = File.ReadAllLines(path, new System.Text.UTF8Encoding(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true));
        }
        catch (System.Text.DecoderFallbackException error)
        {
            throw new InvalidDataException($"'{path}' is not text in UTF-8. Save it in this encoding, or give a folder of images.", error);
        }
        string[] header = lines.Length > 0 ? Fields(lines[0]) : [];
        int pathColumn = Array.FindIndex(header, name => name.Equals("path", StringComparison.OrdinalIgnoreCase)), labelColumn = Array.FindIndex(header, name => name.Equals("label", StringComparison.OrdinalIgnoreCase));
        bool hasHeader = pathColumn >= 0 && labelColumn >= 0;
        if (!hasHeader)
            (pathColumn, labelColumn) = (0, 1);
        var rows = new List<ImageFileRow>();
        for (int i = hasHeader ? 1 : 0; i < lines.Length; i++)
        {
            if (string.IsNullOrWhiteSpace(lines[i]))
                continue;
            string[] fields = Fields(lines[i]);
            if (fields.Length <= Math.Max(pathColumn, labelColumn) || fields[pathColumn].Length == 0 || fields[labelColumn].Length == 0)
                throw new InvalidDataException($"Line {i + 1} of '{path}' has no path or no label: '{MessageText.Printable(lines[i])}'.");
            rows.Add(new ImageFileRow { ImagePath = Path.Combine(folder, fields[pathColumn]), Label = fields[labelColumn] });
        }
        return rows.Count > 0 ? rows : throw new InvalidDataException($"'{path}' has no lines. Each line needs the path of an image and its label.");
    }

    /// <summary>Takes a share of the images of each class for validation: at least one of a class with several images, and never all.</summary>
    private static ImageDataset Split(string[] classes, IReadOnlyList<ImageFileRow> rows, double fraction, int seed)
    {
        if (fraction == 0)
            return new ImageDataset(classes, rows, []);
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

    /// <summary>Finds the folders of the training and validation images in a data set that is divided: both have a folder for each class.</summary>
    public static (string Training, string Validation)? FindSets(string path)
    {
        string? training = Set("train"), validation = _validationNames.Select(Set).FirstOrDefault(folder => folder is not null);
        return training is not null && validation is not null ? (training, validation) : null;

        string? Set(string name) => Folders(path).FirstOrDefault(folder => Path.GetFileName(folder).Equals(name, StringComparison.OrdinalIgnoreCase) && Folders(folder).Length > 0);
    }

    private static bool IsSet(string name) => _validationNames.Append("train").Append("training").Contains(name, StringComparer.OrdinalIgnoreCase);

    private static string[] Folders(string path) => [.. Directory.EnumerateDirectories(path).Where(folder => !IsHidden(Path.GetFileName(folder))).Order(StringComparer.Ordinal)];

    /// <summary>Whether a file or folder is not a part of the data: those of editors, version control and archives of macOS.</summary>
    private static bool IsHidden(string name) => name.StartsWith('.') || name == "__MACOSX";
}
