namespace RepVgg.Tool.Images;

/// <summary>An image that is listed but not read: a file, or an entry of a tar file.</summary>
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
