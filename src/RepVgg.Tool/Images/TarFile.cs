using System.Formats.Tar;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using RepVgg.Runtime;

namespace RepVgg.Tool.Images;

/// <summary>Lists the images of tar files and, in those of WebDataset, their labels. Of the images, only the positions are kept.</summary>
/// <remarks>
/// The entries of one image have the same key, which is the name up to the first point after the last slash: <c>KEY.jpg</c> is the image, and <c>KEY.cls</c> a text with the name
/// or the number of its class.
/// </remarks>
internal static partial class TarFile
{
    private const string LabelExtension = ".cls";

    private const int LongestLabel = 1024;

    // What a decoder puts in the place of bytes that are not UTF-8.
    private const char Replacement = '\uFFFD';

    private static readonly string[] _compressed = [".gz", ".tgz", ".zst", ".xz", ".bz2", ".zip", ".7z"];

    /// <summary>Whether a path has the extension of a tar file.</summary>
    public static bool IsTar(string path) => Path.GetExtension(path).Equals(".tar", StringComparison.OrdinalIgnoreCase);

    /// <summary>Refuses a file with the extension of a compressed archive.</summary>
    /// <exception cref="InvalidDataException">It has one.</exception>
    public static void RefuseCompressed(string path)
    {
        if (_compressed.Contains(Path.GetExtension(path), StringComparer.OrdinalIgnoreCase))
            throw Compressed(path);
    }

    /// <summary>Replaces ranges of numbers in braces, such as <c>shard-{000000..000009}.tar</c>, by the numbers, which have as many digits as the longer bound if a bound begins with 0.</summary>
    /// <returns>The paths; a path without a range, or that exists, itself.</returns>
    public static IEnumerable<string> Expand(string path)
    {
        if (NumberRange().Match(path) is not { Success: true } range || Path.Exists(path))
            return [path];
        string first = range.Groups[1].Value, last = range.Groups[2].Value;
        int from = int.Parse(first, CultureInfo.InvariantCulture), to = int.Parse(last, CultureInfo.InvariantCulture);
        if (to < from)
            throw new InvalidDataException($"The range {range.Value} of '{path}' is empty.");
        int width = first.StartsWith('0') || last.StartsWith('0') ? Math.Max(first.Length, last.Length) : 1;
        return Enumerable.Range(from, to - from + 1)
            .SelectMany(number => Expand(path[..range.Index] + number.ToString($"D{width}", CultureInfo.InvariantCulture) + path[(range.Index + range.Length)..]));
    }

    /// <summary>Lists the images of a tar file in the order of its entries.</summary>
    /// <exception cref="InvalidDataException">The file is damaged or no tar file.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static IReadOnlyList<ListedImage> ReadImages(string path) => [.. Files(path).Where(entry => ImageDataset.IsImage(entry.Name)).Select(entry => Listed(path, entry))];

    /// <summary>Lists the images of a tar file with their labels, in the order of its entries.</summary>
    /// <exception cref="InvalidDataException">The file is damaged or no tar file, or an image has no label, or a label has no image.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static IReadOnlyList<ImageFileRow> ReadLabelled(string path)
    {
        var images = new Dictionary<string, ListedImage>(StringComparer.Ordinal);
        var labels = new Dictionary<string, string>(StringComparer.Ordinal);
        // Entries whose key must have an image: labels, and images such as KEY.seg.png, which are left out.
        var companions = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var entry in Files(path))
        {
            bool isLabel = Path.GetExtension(entry.Name).Equals(LabelExtension, StringComparison.OrdinalIgnoreCase);
            if (!isLabel && !ImageDataset.IsImage(entry.Name))
                continue;
            int point = entry.Name.IndexOf('.', entry.Name.LastIndexOf('/') + 1);
            string key = entry.Name[..point];
            bool isOfKey = point == entry.Name.LastIndexOf('.');
            if (isLabel || !isOfKey)
                companions.TryAdd(key, entry.Name);
            if (isOfKey && !(isLabel ? labels.TryAdd(key, ReadLabel(path, entry)) : images.TryAdd(key, Listed(path, entry))))
                throw new InvalidDataException($"'{path}' has two {(isLabel ? "labels" : "images")} of the key '{MessageText.Printable(key)}'. Each image needs a key of its own.");
        }
        if (images.Keys.FirstOrDefault(key => !labels.ContainsKey(key)) is { } image)
            throw new InvalidDataException($"The image '{MessageText.Printable(images[image].Path)}' has no label: there is no entry '{MessageText.Printable(image)}{LabelExtension}', a text with the name or the number of its class.");
        if (companions.Keys.FirstOrDefault(key => !images.ContainsKey(key)) is { } other)
            throw new InvalidDataException($"'{path}' has the entry '{MessageText.Printable(companions[other])}', but no image of the same key. It must be named '{MessageText.Printable(other)}', the name up to the first point, with an extension of images ({ImageDataset.Extensions}).");
        return [.. images.Select(entry => new ImageFileRow { ImagePath = entry.Value.Path, Label = labels[entry.Key], Content = entry.Value.Read })];
    }

    /// <summary>Reads the headers of the files in a tar file. Names that begin with a point are left out.</summary>
    private static IEnumerable<TarEntry> Files(string path)
    {
        using var file = File.OpenRead(path);
        if (file.ReadByte() == 0x1f && file.ReadByte() == 0x8b)
            throw Compressed(path);
        file.Position = 0;
        using var tar = new TarReader(file);
        while (Next(tar, path) is { } entry)
        {
            if (entry.EntryType is TarEntryType.RegularFile or TarEntryType.V7RegularFile or TarEntryType.ContiguousFile && !ImageDataset.IsHidden(Path.GetFileName(entry.Name)))
                yield return entry;
        }
    }

    private static TarEntry? Next(TarReader tar, string path)
    {
        try
        {
            return tar.GetNextEntry();
        }
        catch (Exception error) when (error is InvalidDataException or FormatException or EndOfStreamException)
        {
            throw new InvalidDataException($"'{path}' is damaged or no tar file: {error.Message}", error);
        }
    }

    private static ListedImage Listed(string path, TarEntry entry) => new($"{path}/{entry.Name}", path, entry.DataOffset, entry.Length);

    private static string ReadLabel(string path, TarEntry entry)
    {
        byte[] content = new byte[Math.Min(entry.Length, LongestLabel + 1)];
        int length = entry.DataStream?.ReadAtLeast(content, content.Length, throwOnEndOfStream: false) ?? 0;
        string label = Encoding.UTF8.GetString(content, 0, length).Trim();
        return label.Length > 0 && length <= LongestLabel && !label.Any(character => char.IsControl(character) || character == Replacement) ? label
            : throw new InvalidDataException($"'{MessageText.Printable($"{path}/{entry.Name}")}' is no label: it must be one line of text in UTF-8, the name or the number of the class.");
    }

    private static InvalidDataException Compressed(string path) =>
        new($"'{path}' is compressed, so that no image can be read without all that are before it. Give tar files without compression (images are compressed themselves), or unpack it.");

    [GeneratedRegex(@"\{(\d{1,9})\.\.(\d{1,9})\}")]
    private static partial Regex NumberRange();
}
