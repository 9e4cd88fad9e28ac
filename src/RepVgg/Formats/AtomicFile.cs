namespace RepVgg.Formats;

/// <summary>Writes a file under a temporary name beside its target and moves it into place, so that no half-written file is ever seen.</summary>
public static class AtomicFile
{
    /// <summary>Writes or replaces a file.</summary>
    /// <param name="path">The target.</param>
    /// <param name="write">Writes the content; the stream is seekable.</param>
    /// <exception cref="IOException">The file cannot be written; what stood at <paramref name="path"/> before is unchanged.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        ArgumentNullException.ThrowIfNull(write);
        string target = Path.GetFullPath(path);
        string directory = Path.GetDirectoryName(target)
            ?? throw new IOException($"'{path}' is not the path of a file.");
        if (!Directory.Exists(directory))
            throw new DirectoryNotFoundException($"'{path}' cannot be written: the folder '{directory}' does not exist.");
        if (Directory.Exists(target))
            throw new IOException($"'{path}' cannot be written: it is a folder.");

        string temporary = Path.Combine(directory, $".{Path.GetFileName(target)}.{Guid.NewGuid():N}.tmp");
        try
        {
            using (var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 16))
                write(stream);
            File.Move(temporary, target, overwrite: true);
        }
        catch (UnauthorizedAccessException error)
        {
            throw new IOException($"'{path}' cannot be written: {error.Message}", error);
        }
        finally
        {
            File.Delete(temporary);
        }
    }
}
