using System.Buffers.Binary;
using System.Formats.Tar;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using RepVgg.Runtime;
using RepVgg.Tool.Images;

namespace RepVgg.Tool.Scoring;

/// <summary>An image to score: a file, or an entry of a tar file.</summary>
/// <param name="Path">The path in the results: that of the file, the line of the manifest, or that of the tar file followed by the name of the entry.</param>
/// <param name="Container">The folder of a path that is relative, or the tar file.</param>
/// <param name="Offset">Position of the image in the tar file.</param>
/// <param name="Length">Length of the image in the tar file; null for a file of its own.</param>
internal readonly record struct ListedImage(string Path, string Container = "", long Offset = 0, long? Length = null)
{
    /// <summary>Reads the content.</summary>
    /// <exception cref="IOException">The file cannot be read, or is shorter than the entry; or the image is empty.</exception>
    /// <exception cref="UnauthorizedAccessException">The file must not be read.</exception>
    public byte[] Read()
    {
        byte[] content = Length is { } length ? ReadEntry(length) : File.ReadAllBytes(System.IO.Path.Combine(Container, Path));
        return content.Length > 0 ? content : throw new EndOfStreamException("the file is empty");
    }

    private byte[] ReadEntry(long length)
    {
        if (length > Array.MaxLength)
            throw new IOException("the file is too large");
        using var file = File.OpenHandle(Container);
        byte[] content = new byte[length];
        int filled = 0;
        while (filled < content.Length)
        {
            int read = RandomAccess.Read(file, content.AsSpan(filled), Offset + filled);
            filled += read > 0 ? read : throw new EndOfStreamException("the tar file is cut off");
        }
        return content;
    }
}

/// <summary>The images of all inputs, in the order of the inputs. They are listed, but not opened.</summary>
internal static partial class ImageList
{
    /// <summary>Lists the images of inputs.</summary>
    /// <param name="inputs">
    /// Folders, whose images and those of their subfolders are taken in the order of their paths; tar files, whose images are taken in the order of their entries; images;
    /// and manifests: text files with one path per line, relative to their folder, or CSV files with a column <c>path</c>. A range of numbers in braces, such as
    /// <c>shard-{000000..000009}.tar</c>, stands for several inputs.
    /// </param>
    /// <exception cref="InvalidDataException">There are no images, or a tar file or manifest cannot be read as one.</exception>
    /// <exception cref="IOException">An input does not exist or cannot be read.</exception>
    public static IReadOnlyList<ListedImage> Read(IEnumerable<string> inputs)
    {
        var images = new List<ListedImage>();
        foreach (string input in inputs.SelectMany(Expand))
            images.AddRange(ReadInput(input));
        return images.Count > 0 ? images : throw new InvalidDataException("The input has no images.");
    }

    /// <summary>Computes a hash of the list, which differs if the images or their order do. The contents of the files are not read.</summary>
    public static string Hash(IReadOnlyList<ListedImage> images)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> numbers = stackalloc byte[3 * sizeof(long)];
        foreach (var image in images)
        {
            byte[] path = Encoding.UTF8.GetBytes(image.Path);
            BinaryPrimitives.WriteInt64LittleEndian(numbers, path.Length);
            BinaryPrimitives.WriteInt64LittleEndian(numbers[sizeof(long)..], image.Offset);
            BinaryPrimitives.WriteInt64LittleEndian(numbers[(2 * sizeof(long))..], image.Length ?? -1);
            hash.AppendData(numbers);
            hash.AppendData(path);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>Replaces ranges of numbers in braces by the numbers, which have as many digits as the longer bound if a bound begins with 0.</summary>
    private static IEnumerable<string> Expand(string input)
    {
        if (NumberRange().Match(input) is not { Success: true } range || Path.Exists(input))
            return [input];
        string first = range.Groups[1].Value, last = range.Groups[2].Value;
        int from = int.Parse(first, CultureInfo.InvariantCulture), to = int.Parse(last, CultureInfo.InvariantCulture);
        if (to < from)
            throw new InvalidDataException($"The range {range.Value} of '{input}' is empty.");
        int width = first.StartsWith('0') || last.StartsWith('0') ? Math.Max(first.Length, last.Length) : 1;
        return Enumerable.Range(from, to - from + 1)
            .SelectMany(number => Expand(input[..range.Index] + number.ToString($"D{width}", CultureInfo.InvariantCulture) + input[(range.Index + range.Length)..]));
    }

    private static IEnumerable<ListedImage> ReadInput(string input)
    {
        if (Directory.Exists(input))
            return ImageDataset.Images(input, SearchOption.AllDirectories).Select(path => new ListedImage(path));
        if (!File.Exists(input))
            throw new FileNotFoundException($"There is no folder or file '{input}'.");
        if (ImageDataset.IsImage(input))
            return [new ListedImage(input)];
        return Path.GetExtension(input).ToLowerInvariant() switch
        {
            ".tar" => ReadTar(input),
            ".csv" => ReadManifest(input, CsvPaths(input)),
            ".gz" or ".tgz" or ".zst" or ".xz" or ".bz2" or ".zip" or ".7z" => throw new InvalidDataException($"'{input}' is compressed. Give tar files without compression: images are compressed themselves, and shards begin in the middle of a file."),
            _ => ReadManifest(input, File.ReadLines(input)),
        };
    }

    private static IEnumerable<ListedImage> ReadManifest(string path, IEnumerable<string> lines)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        return lines.Where(line => !string.IsNullOrWhiteSpace(line)).Select(line => line.Contains('\0', StringComparison.Ordinal)
            ? throw new InvalidDataException($"'{path}' is neither a text file with one path per line nor a tar file whose name ends with .tar.")
            : new ListedImage(line, folder));
    }

    private static IEnumerable<string> CsvPaths(string path)
    {
        int column = -1, number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            string[] fields = string.IsNullOrWhiteSpace(line) ? [] : ImageDataset.Fields(line);
            if (number == 1)
            {
                column = Array.FindIndex(fields, name => name.Equals("path", StringComparison.OrdinalIgnoreCase));
                if (column < 0)
                    throw new InvalidDataException($"'{path}' has no column 'path'. Its first line must name the columns.");
            }
            else if (fields.Length > 0)
            {
                yield return fields.Length > column && fields[column].Length > 0 ? fields[column]
                    : throw new InvalidDataException(FormattableString.Invariant($"Line {number} of '{path}' has no path: '{MessageText.Printable(line)}'."));
            }
        }
    }

    private static List<ListedImage> ReadTar(string path)
    {
        var images = new List<ListedImage>();
        try
        {
            using var tar = new TarReader(File.OpenRead(path));
            while (tar.GetNextEntry() is { } entry)
            {
                if (entry.EntryType is TarEntryType.RegularFile or TarEntryType.V7RegularFile or TarEntryType.ContiguousFile && ImageDataset.IsImage(entry.Name))
                    images.Add(new ListedImage($"{path}/{entry.Name}", path, entry.DataOffset, entry.Length));
            }
        }
        catch (Exception error) when (error is InvalidDataException or FormatException or EndOfStreamException)
        {
            throw new InvalidDataException($"'{path}' is damaged or no tar file: {error.Message}", error);
        }
        return images;
    }

    [GeneratedRegex(@"\{(\d{1,9})\.\.(\d{1,9})\}")]
    private static partial Regex NumberRange();
}
