namespace Microsoft.ML.RepVgg.Input.Images;

/// <summary>Finds image files that are cut off. ML.NET's LoadImages decodes them without an error.</summary>
/// <remarks>
/// A file that ends as files of its format do is taken as complete after two small reads. Any other image file is decoded, since it may
/// be complete with other bytes after its end. What <see cref="ImageDecoder"/> does not detect is not found here either.
/// </remarks>
internal static class EncodedImageCheck
{
    /// <summary>Maximum length in bytes of a file that is checked.</summary>
    private const long MaximumLength = 1L << 30;

    /// <summary>Checks a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="decoding">The limit of the size, for files that are decoded.</param>
    /// <returns>Why the file cannot be decoded completely; null if it can, or if it is no image file.</returns>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file cannot be read.</exception>
    public static string? FindDefect(string path, ImageDecoding decoding)
    {
        using (var file = File.OpenHandle(path))
        {
            Span<byte> head = stackalloc byte[ImageSignature.HeadLength], tail = stackalloc byte[ImageSignature.TailLength];
            long length = RandomAccess.GetLength(file);
            int read = RandomAccess.Read(file, head, 0);
            if (length > MaximumLength || !ImageSignature.IsReadable(head[..read]))
                return null;
            if (read == head.Length && RandomAccess.Read(file, tail, length - tail.Length) == tail.Length && ImageSignature.EndsProperly(head, tail, length))
                return null;
        }
        return Explain(path, decoding);
    }

    /// <summary>Returns the reason why a file cannot be decoded; null if it can.</summary>
    /// <param name="path">The file.</param>
    /// <param name="decoding">The limit of the size.</param>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file cannot be read.</exception>
    public static string? Explain(string path, ImageDecoding decoding) => ImageDecoder.Explain(File.ReadAllBytes(path), decoding);
}
