using System.Buffers.Binary;
using System.IO.Compression;
using RepVgg.Architectures;
using RepVgg.Runtime.Files;

namespace RepVgg.Training.Data;

/// <summary>Reads images and labels in the IDX format of MNIST and Fashion-MNIST, gzip-compressed or not.</summary>
/// <remarks>
/// An IDX file contains two zero bytes, the element type (8 = unsigned byte), the number of dimensions, the dimensions as
/// big-endian 32-bit integers, and the values. Images have three dimensions [N, H, W]; labels have one dimension [N].
/// </remarks>
internal static class IdxFiles
{
    private const int UnsignedByte = 8;

    /// <summary>Reads one set from a folder: <c>{prefix}-images-idx3-ubyte</c> and <c>{prefix}-labels-idx1-ubyte</c>, with or without <c>.gz</c>.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="prefix"><c>train</c> or <c>t10k</c> in MNIST and Fashion-MNIST.</param>
    /// <param name="classes">Number of classes, or 0 for one more than the highest label.</param>
    /// <returns>The samples, in the files' order.</returns>
    /// <exception cref="DirectoryNotFoundException">There is no such folder.</exception>
    /// <exception cref="FileNotFoundException">The folder lacks one of the files; the message lists the names that were looked for.</exception>
    /// <exception cref="InvalidDataException">A file is truncated or is not an IDX file, or the numbers of images and labels differ.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static InMemorySamples ReadFolder(string folder, string prefix, int classes = 0)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentException.ThrowIfNullOrEmpty(prefix);
        if (!Directory.Exists(folder))
            throw new DirectoryNotFoundException($"There is no folder '{folder}'.");
        return Read(Find(folder, $"{prefix}-images", "idx3-ubyte"), Find(folder, $"{prefix}-labels", "idx1-ubyte"), classes);
    }

    /// <summary>Whether a folder that exists has a file of images in this format.</summary>
    public static bool IsFolder(string folder) => Directory.EnumerateFiles(folder, "*idx3-ubyte*").Any();

    /// <summary>Reads an image file and its label file.</summary>
    /// <param name="imagesPath">IDX file of bytes [N, H, W], gzip or not.</param>
    /// <param name="labelsPath">IDX file of bytes [N], gzip or not.</param>
    /// <param name="classes">Number of classes, or 0 for one more than the highest label.</param>
    /// <returns>The samples, in the files' order.</returns>
    /// <exception cref="InvalidDataException">A file is truncated or is not an IDX file, the numbers of images and labels differ, or the images are too large.</exception>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public static InMemorySamples Read(string imagesPath, string labelsPath, int classes = 0)
    {
        using var images = InputFile.Open(imagesPath);
        using var labels = InputFile.Open(labelsPath);
        return Read(images, imagesPath, labels, labelsPath, classes);
    }

    /// <summary>Reads images and labels from streams.</summary>
    /// <param name="images">IDX data of bytes [N, H, W], gzip or not.</param>
    /// <param name="imagesName">Name of the image stream in error messages.</param>
    /// <param name="labels">IDX data of bytes [N], gzip or not.</param>
    /// <param name="labelsName">Name of the label stream in error messages.</param>
    /// <param name="classes">Number of classes, or 0 for one more than the highest label.</param>
    /// <returns>The samples, in the streams' order.</returns>
    /// <exception cref="InvalidDataException">A stream is truncated or is not IDX data, or the numbers of images and labels differ.</exception>
    public static InMemorySamples Read(Stream images, string imagesName, Stream labels, string labelsName, int classes = 0)
    {
        ArgumentNullException.ThrowIfNull(images);
        ArgumentNullException.ThrowIfNull(labels);
        ArgumentOutOfRangeException.ThrowIfNegative(classes);
        var (_, labelBytes) = ReadBytes(labels, labelsName, 1);
        var (imageShape, pixels) = ReadBytes(images, imagesName, 3, shape =>
        {
            if (shape[0] != labelBytes.Length)
                throw new InvalidDataException($"'{imagesName}' holds {shape[0]} images, but '{labelsName}' holds {labelBytes.Length} labels; both files must have the same number of items.");
        });
        int[] values = Array.ConvertAll(labelBytes, label => (int)label);
        int highest = values.DefaultIfEmpty(0).Max();
        if (classes != 0 && highest >= classes)
            throw new InvalidDataException($"'{labelsName}', row {Array.IndexOf(values, highest)}: label {highest} is outside 0 .. {classes - 1}.");
        return new InMemorySamples(pixels, values, 1, imageShape[1], imageShape[2], classes == 0 ? highest + 1 : classes);
    }

    private static string Find(string folder, string stem, string type)
    {
        string[] names = [$"{stem}-{type}", $"{stem}-{type}.gz", $"{stem}.{type}", $"{stem}.{type}.gz"];
        return names.Select(name => Path.Combine(folder, name)).FirstOrDefault(File.Exists)
            ?? throw new FileNotFoundException($"The folder '{folder}' holds no {stem} file; looked for {string.Join(", ", names)}.");
    }

    private static (int[] Shape, byte[] Values) ReadBytes(Stream stream, string name, int rank, Action<int[]>? check = null)
    {
        stream = Seekable(stream);
        long start = stream.Position;
        var plain = Decompress(stream, name);
        try
        {
            Span<byte> header = stackalloc byte[4 + 4 * rank];
            if (plain.ReadAtLeast(header[..4], 4, throwOnEndOfStream: false) < 4 || header[0] != 0 || header[1] != 0 || header[3] is 0 or > 8)
                throw new InvalidDataException($"'{name}' is not an IDX file.");
            if (header[2] != UnsignedByte || header[3] != rank)
                throw new InvalidDataException($"'{name}' is an IDX file of type {header[2]} with {header[3]} dimensions; expected unsigned bytes (type {UnsignedByte}) with {rank} ({(rank == 3 ? "images" : "labels")}).");
            plain.ReadExactly(header[4..]);
            long available = plain is GZipStream ? (stream.Length - start) * CompressedData.MaximumRatio : plain.Length - plain.Position;
            return ReadValues(plain, name, rank, header[4..], available, check);
        }
        catch (EndOfStreamException)
        {
            throw new InvalidDataException($"'{name}' is truncated.");
        }
        catch (InvalidDataException e) when (plain is GZipStream && !e.Message.StartsWith($"'{name}'", StringComparison.Ordinal))
        {
            throw new InvalidDataException($"'{name}' is damaged: {e.Message}", e);
        }
    }

    /// <summary>Reads the values.</summary>
    /// <param name="plain">The decompressed data after the header.</param>
    /// <param name="name">Name of the stream in error messages.</param>
    /// <param name="rank">Number of dimensions.</param>
    /// <param name="dimensions">The dimensions in the header.</param>
    /// <param name="available">Number of bytes that can be left at most.</param>
    /// <param name="check">Called with the dimensions before the values are read; null for no call.</param>
    private static (int[] Shape, byte[] Values) ReadValues(Stream plain, string name, int rank, ReadOnlySpan<byte> dimensions, long available, Action<int[]>? check)
    {
        var shape = new int[rank];
        long count = 1;
        for (int i = 0; i < rank; i++)
        {
            shape[i] = BinaryPrimitives.ReadInt32BigEndian(dimensions[(4 * i)..]);
            bool fits = count >= 0 && shape[i] >= 0 && (shape[i] == 0 || count <= Array.MaxLength / shape[i]);
            count = fits ? count * shape[i] : -1;
        }
        if (count < 0 || (rank == 3 && (shape[1] == 0 || shape[2] == 0)))
            throw new InvalidDataException($"'{name}' declares the dimensions [{string.Join(", ", shape)}]; they must not be negative, image sizes must not be zero, and the values must fit in one array.");
        if (rank == 3 && (long)shape[1] * shape[2] > Array.MaxLength)
            throw new InvalidDataException($"'{name}' declares images of {shape[1]} x {shape[2]} pixels, more than {Array.MaxLength} in one image.");
        if (rank == 3 && (shape[1] > ArchitectureValidation.MaximumImageSide || shape[2] > ArchitectureValidation.MaximumImageSide))
            throw new InvalidDataException($"'{name}' declares images of {shape[1]} x {shape[2]} pixels; a side can have {ArchitectureValidation.MaximumImageSide} pixels at most.");
        if (count > available)
            throw new InvalidDataException($"'{name}' is truncated: its header declares {count} values, but at most {available} are present.");
        check?.Invoke(shape);
        byte[] values = plain is GZipStream ? CompressedData.ReadUpTo(plain, (int)count) : ReadAll(plain, (int)count);
        if (values.Length < count)
            throw new InvalidDataException($"'{name}' is truncated: its header declares {count} values, but only {values.Length} are present.");
        if (plain.ReadByte() >= 0)
            throw new InvalidDataException($"'{name}' has data after the {count} values that its header declares.");
        return (shape, values);
    }

    private static byte[] ReadAll(Stream plain, int count)
    {
        byte[] values = new byte[count];
        plain.ReadExactly(values);
        return values;
    }

    /// <summary>Returns a stream itself, or a copy in memory if it cannot seek.</summary>
    private static Stream Seekable(Stream stream)
    {
        if (stream.CanSeek)
            return stream;
        var copy = new MemoryStream();
        stream.CopyTo(copy);
        copy.Position = 0;
        return copy;
    }

    /// <summary>
    /// Returns a decompressing stream if the data starts with the gzip magic number 1F 8B, otherwise the stream itself.
    /// File names are not used, because some tools keep ".gz" in the name of a decompressed file.
    /// </summary>
    private static Stream Decompress(Stream stream, string name)
    {
        long start = stream.Position;
        int first = stream.ReadByte(), second = stream.ReadByte();
        stream.Position = start;
        if (first < 0)
            throw new InvalidDataException($"'{name}' is empty.");
        return first == 0x1f && second == 0x8b
            ? new GZipStream(stream, CompressionMode.Decompress, leaveOpen: true)
            : stream;
    }
}
