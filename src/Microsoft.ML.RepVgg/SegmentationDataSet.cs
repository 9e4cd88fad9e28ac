using System.Drawing;
using System.Globalization;
using Microsoft.ML.RepVgg.Segmentation;
using RepVgg.Runtime;

namespace Microsoft.ML.RepVgg;

/// <summary>An image file and the file of its mask. Rows of it are loaded with <c>mlContext.Data.LoadFromEnumerable</c>, and the files with <c>LoadRawImageBytes</c>.</summary>
public sealed class SegmentationSample
{
    /// <summary>Path of the image.</summary>
    public string ImagePath { get; set; } = "";

    /// <summary>Path of the mask, a PNG file.</summary>
    public string MaskPath { get; set; } = "";
}

/// <summary>The files of a data set for semantic segmentation.</summary>
/// <remarks>
/// A folder has one of these forms:
/// <list type="bullet">
/// <item><description><c>images</c> and <c>masks</c> (or <c>labels</c> or <c>annotations</c>), in which an image and its mask have the same name apart from the extension; both can have subfolders <c>train</c> (or <c>training</c>) and <c>val</c> (or <c>validation</c>), or be in such subfolders;</description></item>
/// <item><description>lists <c>train.txt</c> and, if there is one, <c>val.txt</c>, whose lines have the path of an image and of its mask, relative to the folder;</description></item>
/// <item><description>Cityscapes: <c>leftImg8bit</c> and <c>gtFine</c>, with masks <c>*_gtFine_labelTrainIds.png</c>.</description></item>
/// </list>
/// A file <c>classes.txt</c> has the name of a class in each line, in the order of the labels, optionally followed by its colour: three numbers of 0 to 255. Lines <c>ignored</c> have colours of pixels without a class.
/// </remarks>
public sealed class SegmentationDataSet
{
    private const int ListedFiles = 3;

    private static readonly string[] _imageExtensions = [".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif"];

    private static readonly string[] _maskFolders = ["masks", "labels", "annotations"], _trainingNames = ["train", "training"], _validationNames = ["val", "validation"];

    private SegmentationDataSet(IReadOnlyList<SegmentationSample> training, IReadOnlyList<SegmentationSample> validation, SegmentationClasses classes) =>
        (Training, Validation, ClassNames, ClassColors, IgnoredColors) = (training, validation, classes.Names, classes.Colors, classes.Ignored);

    /// <summary>The files to train on, in the order of their names or of the list.</summary>
    public IReadOnlyList<SegmentationSample> Training { get; }

    /// <summary>The files to validate on; empty if the folder has none, and a part of <see cref="Training"/> is set aside.</summary>
    public IReadOnlyList<SegmentationSample> Validation { get; }

    /// <summary>The names of the classes; empty if they are unknown.</summary>
    public IReadOnlyList<string> ClassNames { get; }

    /// <summary>The colours of the classes in drawings; empty if they are unknown.</summary>
    public IReadOnlyList<Color> ClassColors { get; }

    /// <summary>The colours of pixels without a class in masks of colours; empty if there are none.</summary>
    public IReadOnlyList<Color> IgnoredColors { get; }

    /// <summary>Lists the files of a folder.</summary>
    /// <param name="path">The folder.</param>
    /// <returns>The data set.</returns>
    /// <exception cref="DirectoryNotFoundException">There is no such folder.</exception>
    /// <exception cref="InvalidDataException">The folder has none of the forms, an image has no mask, or a mask has no image; the message names the first files.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static SegmentationDataSet FromFolder(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        if (!Directory.Exists(path))
            throw new DirectoryNotFoundException($"There is no folder '{path}'.");
        var classes = ReadClasses(Path.Combine(path, "classes.txt"));
        string list = Path.Combine(path, "train.txt"), validationList = Path.Combine(path, "val.txt");
        if (File.Exists(list))
            return new SegmentationDataSet(FromList(list, path), File.Exists(validationList) ? FromList(validationList, path) : [], classes);
        if (File.Exists(validationList))
            throw new InvalidDataException($"'{path}' has a list 'val.txt' of the images for validation, but no list 'train.txt' of those to train on.");
        if (Directory.Exists(Path.Combine(path, "leftImg8bit")) && Directory.Exists(Path.Combine(path, "gtFine")))
        {
            return new SegmentationDataSet(
                Required(Cityscapes(path, "train"), path), Cityscapes(path, "val"),
                classes.Names.Count > 0 ? classes : new SegmentationClasses(MaskColors.CityscapesNames, MaskColors.Cityscapes, []));
        }
        var (training, validating) = FromFolders(path);
        return new SegmentationDataSet(Required(training, path), validating, classes);
    }

    /// <summary>Reads a list of files: each line has the path of an image and of its mask, separated by spaces or tabs.</summary>
    /// <param name="listPath">The list.</param>
    /// <param name="folder">The folder of relative paths; null for that of the list.</param>
    /// <returns>The files, which exist.</returns>
    /// <exception cref="InvalidDataException">A line does not have two paths, or a file does not exist.</exception>
    /// <exception cref="IOException">The list cannot be read.</exception>
    public static IReadOnlyList<SegmentationSample> FromList(string listPath, string? folder = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(listPath);
        folder ??= Path.GetDirectoryName(Path.GetFullPath(listPath))!;
        var samples = new List<SegmentationSample>();
        foreach (var (index, line) in File.ReadLines(listPath).Index())
        {
            string[] words = line.Contains('\t', StringComparison.Ordinal) ? line.Split('\t', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) : line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (words.Length == 0)
                continue;
            if (words.Length != 2)
                throw new InvalidDataException($"'{listPath}', line {index + 1}: it has {words.Length} part(s); expected the paths of an image and of its mask. Paths with spaces are separated by a tab.");
            var sample = new SegmentationSample { ImagePath = Resolve(words[0]), MaskPath = Resolve(words[1]) };
            foreach (string file in (ReadOnlySpan<string>)[sample.ImagePath, sample.MaskPath])
            {
                if (!File.Exists(file))
                    throw new InvalidDataException($"'{listPath}', line {index + 1}: there is no file '{file}'.");
            }
            samples.Add(sample);
        }
        return samples.Count > 0 ? samples : throw new InvalidDataException($"The list '{listPath}' has no files.");

        // In the lists of some data sets, paths relative to the folder begin with a slash.
        string Resolve(string path) => File.Exists(path) && Path.IsPathRooted(path) ? path : Path.Combine(folder, path.TrimStart('/'));
    }

    private static (IReadOnlyList<SegmentationSample> Training, IReadOnlyList<SegmentationSample> Validation) FromFolders(string path)
    {
        // images/train and masks/train.
        if (Folders(path) is var (images, masks))
            return Find(images, _trainingNames) is { } training ? (Pairs(training, Counterpart(masks, _trainingNames)), ValidationIn(images, masks)) : (Pairs(images, masks), []);
        // train/images and train/masks.
        if (Find(path, _trainingNames) is { } train && Folders(train) is var (trainImages, trainMasks))
            return (Pairs(trainImages, trainMasks), Find(path, _validationNames) is { } val && Folders(val) is var (valImages, valMasks) ? Pairs(valImages, valMasks) : []);
        throw new InvalidDataException($"'{path}' is no data set for segmentation: it has no folders 'images' and 'masks' (or 'train' with these), no list 'train.txt', and no folders 'leftImg8bit' and 'gtFine'.");

        static (string Images, string Masks)? Folders(string folder) =>
            Find(folder, ["images"]) is { } images && Find(folder, _maskFolders) is { } masks ? (images, masks) : null;

        static IReadOnlyList<SegmentationSample> ValidationIn(string images, string masks) =>
            Find(images, _validationNames) is { } validation ? Pairs(validation, Counterpart(masks, _validationNames)) : [];

        static string Counterpart(string masks, string[] names) =>
            Find(masks, names) ?? throw new InvalidDataException($"'{masks}' has no folder '{names[0]}', but the images have one.");
    }

    private static string? Find(string folder, string[] names) => names.Select(name => Path.Combine(folder, name)).FirstOrDefault(Directory.Exists);

    private static IReadOnlyList<SegmentationSample> Required(IReadOnlyList<SegmentationSample> samples, string path) =>
        samples.Count > 0 ? samples : throw new InvalidDataException($"'{path}' has no images with masks to train on.");

    /// <summary>Pairs the images of a folder and its subfolders with the masks of the same names.</summary>
    private static List<SegmentationSample> Pairs(string images, string masks)
    {
        var maskFiles = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string file in Files(masks).Where(file => Path.GetExtension(file).Equals(".png", StringComparison.OrdinalIgnoreCase)))
        {
            if (!maskFiles.TryAdd(Name(masks, file), file))
                throw new InvalidDataException($"'{maskFiles[Name(masks, file)]}' and '{file}' have the same name; an image has one mask.");
        }
        var samples = new List<SegmentationSample>();
        var lacking = new List<string>();
        var imageOf = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string file in Files(images).Where(IsImage))
        {
            if (!imageOf.TryAdd(Name(images, file), file))
                throw new InvalidDataException($"'{imageOf[Name(images, file)]}' and '{file}' have the same name, so that their masks would be the same.");
            if (maskFiles.Remove(Name(images, file), out string? mask))
                samples.Add(new SegmentationSample { ImagePath = file, MaskPath = mask });
            else
                lacking.Add(Path.GetRelativePath(images, file));
        }
        if (lacking.Count > 0)
            throw new InvalidDataException($"{lacking.Count} images in '{images}' have no mask of the same name with the extension .png in '{masks}': {Names(lacking)}.");
        if (maskFiles.Count > 0)
            throw new InvalidDataException($"{maskFiles.Count} masks in '{masks}' have no image of the same name in '{images}': {Names(maskFiles.Values.Select(file => Path.GetRelativePath(masks, file)).Order(StringComparer.Ordinal))}.");
        return samples;

        // Without the files of editors, version control and archives of macOS.
        static IEnumerable<string> Files(string folder) => Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories)
            .Where(file => !Path.GetRelativePath(folder, file).Split(Path.DirectorySeparatorChar).Any(name => name.StartsWith('.') || name == "__MACOSX")).Order(StringComparer.Ordinal);

        static string Name(string folder, string file) => Path.ChangeExtension(Path.GetRelativePath(folder, file), null);

        static bool IsImage(string file) => _imageExtensions.Contains(Path.GetExtension(file), StringComparer.OrdinalIgnoreCase);
    }

    private static string Names(IEnumerable<string> files) => MessageText.Join([.. files.Select(file => $"'{file}'")], ListedFiles, separator: ", ");

    private static List<SegmentationSample> Cityscapes(string path, string split)
    {
        const string ImageEnding = "_leftImg8bit.png";
        string images = Path.Combine(path, "leftImg8bit", split), masks = Path.Combine(path, "gtFine", split);
        if (!Directory.Exists(images))
            return [];
        var samples = new List<SegmentationSample>();
        var lacking = new List<string>();
        foreach (string file in Directory.EnumerateFiles(images, "*" + ImageEnding, SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            string mask = Path.Combine(masks, Path.GetRelativePath(images, file)[..^ImageEnding.Length] + "_gtFine_labelTrainIds.png");
            if (File.Exists(mask))
                samples.Add(new SegmentationSample { ImagePath = file, MaskPath = mask });
            else
                lacking.Add(mask);
        }
        return lacking.Count == 0 ? samples
            : throw new InvalidDataException($"{lacking.Count} images in '{images}' have no mask of training labels: {Names(lacking)}. The script createTrainIdLabelImgs of Cityscapes writes them; its files *_labelIds.png have other labels.");
    }

    /// <summary>Reads a file classes.txt; nothing is known if there is none.</summary>
    /// <exception cref="InvalidDataException">Some classes have colours and others do not, a colour is none, or two classes have the same name.</exception>
    internal static SegmentationClasses ReadClasses(string path)
    {
        if (!File.Exists(path))
            return new SegmentationClasses([], [], []);
        var (names, colors, ignored) = (new List<string>(), new List<Color>(), new List<Color>());
        foreach (string line in File.ReadLines(path).Where(line => !string.IsNullOrWhiteSpace(line)))
        {
            string[] words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            Color? color = null;
            if (words.Length > 3 && words[^3..].All(word => int.TryParse(word, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out _)))
            {
                byte[] values = [.. words[^3..].Select(word => byte.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out byte value)
                    ? value
                    : throw new InvalidDataException($"'{path}', the line '{MessageText.Printable(line)}': a colour has three numbers of 0 to 255."))];
                color = Color.FromArgb(values[0], values[1], values[2]);
            }
            string name = string.Join(' ', color is null ? words : words[..^3]);
            if (name == "ignored" && color is { } without)
            {
                ignored.Add(without);
                continue;
            }
            if (names.Contains(name))
                throw new InvalidDataException($"'{path}' has the class '{MessageText.Printable(name)}' twice.");
            names.Add(name);
            if (color is { } given)
                colors.Add(given);
        }
        if (colors.Count > 0 && colors.Count < names.Count)
            throw new InvalidDataException($"'{path}': {names.Count - colors.Count} of {names.Count} classes have no colour. Give all of them one, three numbers of 0 to 255 after the name, or none.");
        return new SegmentationClasses(names, colors, ignored);
    }
}

/// <summary>What a file classes.txt says.</summary>
/// <param name="Names">The names of the classes.</param>
/// <param name="Colors">Their colours; empty if they have none.</param>
/// <param name="Ignored">The colours of pixels without a class.</param>
internal sealed record SegmentationClasses(IReadOnlyList<string> Names, IReadOnlyList<Color> Colors, IReadOnlyList<Color> Ignored);
