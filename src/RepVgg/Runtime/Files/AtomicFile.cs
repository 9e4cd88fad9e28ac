namespace RepVgg.Runtime.Files;

/// <summary>Writes a file under a temporary name in the folder of its target and renames it when it is complete, so that a partial file is never visible under the target name.</summary>
internal static class AtomicFile
{
    /// <summary>Writes or replaces a file.</summary>
    /// <param name="path">The target.</param>
    /// <param name="write">Writes the content to the stream, which is readable and seekable.</param>
    /// <exception cref="IOException">The file cannot be written; what stood at <paramref name="path"/> before is unchanged.</exception>
    public static void Write(string path, Action<FileStream> write)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        ArgumentNullException.ThrowIfNull(write);
        Write(path, $"'{path}'", write);
    }

    /// <summary>Writes or replaces a file.</summary>
    /// <param name="path">The target.</param>
    /// <param name="subject">Name of the file in error messages, such as "The training checkpoint 'run.checkpoint'".</param>
    /// <param name="write">Writes the content.</param>
    /// <exception cref="IOException">The file cannot be written; what stood at <paramref name="path"/> before is unchanged.</exception>
    internal static void Write(string path, string subject, Action<FileStream> write)
    {
        string temporary = NameTemporaryFile(path, subject, out string target);
        try
        {
            using (var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 16))
                write(stream);
            File.Move(temporary, target, overwrite: true);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"{subject} cannot be written: {error.Message}", error);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    /// <summary>Checks that <see cref="Write(string, string, Action{FileStream})"/> can create a file. Call it before a long computation.</summary>
    /// <param name="path">The target.</param>
    /// <param name="subject">Name of the file in error messages.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    internal static void CheckWritable(string path, string subject)
    {
        string temporary = NameTemporaryFile(path, subject, out _);
        try
        {
            using var probe = File.Create(temporary, 1, FileOptions.DeleteOnClose);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"{subject} cannot be written: {error.Message}", error);
        }
    }

    private static string NameTemporaryFile(string path, string subject, out string target)
    {
        target = Path.GetFullPath(path);
        string directory = Path.GetDirectoryName(target)
            ?? throw new IOException($"{subject} cannot be written: it is not the path of a file.");
        if (!Directory.Exists(directory))
            throw new DirectoryNotFoundException($"{subject} cannot be written: the folder '{directory}' does not exist.");
        if (Directory.Exists(target))
            throw new IOException($"{subject} cannot be written: it is a folder.");
        return Path.Combine(directory, $".{Path.GetFileName(target)}.{Guid.NewGuid():N}.tmp");
    }
}
