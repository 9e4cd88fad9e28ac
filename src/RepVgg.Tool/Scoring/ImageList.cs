using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using RepVgg.Tool.Images;

namespace RepVgg.Tool.Scoring;

/// <summary>The images of all inputs, in the order of the inputs. They are listed, but not opened.</summary>
internal static class ImageList
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
        foreach (string input in inputs.SelectMany(TarFile.Expand))
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

    private static IEnumerable<ListedImage> ReadInput(string input)
    {
        if (Directory.Exists(input))
            return ImageDataset.Images(input, SearchOption.AllDirectories).Select(path => new ListedImage(path));
        if (!File.Exists(input))
            throw new FileNotFoundException($"There is no folder or file '{input}'.");
        if (ImageDataset.IsImage(input))
            return [new ListedImage(input)];
        if (TarFile.IsTar(input))
            return TarFile.ReadImages(input);
        TarFile.RefuseCompressed(input);
        return ReadManifest(input, Path.GetExtension(input).Equals(".csv", StringComparison.OrdinalIgnoreCase) ? CsvFile.ReadPaths(input) : File.ReadLines(input));
    }

    private static IEnumerable<ListedImage> ReadManifest(string path, IEnumerable<string> lines)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        return lines.Where(line => !string.IsNullOrWhiteSpace(line)).Select(line => line.Contains('\0', StringComparison.Ordinal)
            ? throw new InvalidDataException($"'{path}' is neither a text file with one path per line nor a tar file whose name ends with .tar.")
            : new ListedImage(line, folder));
    }
}
