using System.Security.Cryptography;
using System.Text;

namespace RepVgg.Runtime.Files;

/// <summary>Writes a file under a temporary name in the folder of its target and renames it when it is complete, so that a partial file is never visible under the target name.</summary>
/// <remarks>
/// If the target is a symbolic link, the file that it refers to is written. Permissions of an existing file are kept. Pipes, sockets
/// and devices are refused. A process that ends while it writes leaves its temporary file; the next write to the same target removes it.
/// </remarks>
internal static class AtomicFile
{
    /// <summary>Writes or replaces a file.</summary>
    /// <param name="path">The target.</param>
    /// <param name="write">Writes the content to the stream, which is readable and seekable, and must not be closed.</param>
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
        string target = Resolve(path, subject);
        var (temporary, remains) = TemporaryNames(target);
        try
        {
            RemoveRemains(target, remains);
            using (var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 16))
            {
                write(stream);
                WriteErrors.ToDisk(stream);
            }
            if (!OperatingSystem.IsWindows() && File.Exists(target))
                File.SetUnixFileMode(temporary, File.GetUnixFileMode(target));
            File.Move(temporary, target, overwrite: true);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException || WriteErrors.IsTooLarge(error))
        {
            throw new IOException($"{subject} cannot be written: {error.Message}", error);
        }
        finally
        {
            Remove(temporary);
        }
    }

    /// <summary>Checks that <see cref="Write(string, string, Action{FileStream})"/> can create a file. Call it before a long computation.</summary>
    /// <param name="path">The target.</param>
    /// <param name="subject">Name of the file in error messages.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    internal static void CheckWritable(string path, string subject)
    {
        var (temporary, _) = TemporaryNames(Resolve(path, subject));
        try
        {
            using var probe = File.Create(temporary, 1, FileOptions.DeleteOnClose);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"{subject} cannot be written: {error.Message}", error);
        }
    }

    /// <summary>Gets the file that is written: the target, or what it links to.</summary>
    private static string Resolve(string path, string subject)
    {
        string target = Path.GetFullPath(path);
        try
        {
            target = File.ResolveLinkTarget(target, returnFinalTarget: true)?.FullName ?? target;
        }
        catch (FileNotFoundException)
        {
            // The file does not exist yet.
        }
        catch (DirectoryNotFoundException)
        {
            // Reported below.
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"{subject} cannot be written: {error.Message}", error);
        }
        string directory = Path.GetDirectoryName(target)
            ?? throw new IOException($"{subject} cannot be written: it is not the path of a file.");
        if (!Directory.Exists(directory))
            throw new DirectoryNotFoundException($"{subject} cannot be written: the folder '{directory}' does not exist.");
        if (Directory.Exists(target))
            throw new IOException($"{subject} cannot be written: it is a folder.");
        if (FileType.IsStreamOrDevice(target))
            throw new IOException($"{subject} cannot be written: it is not a regular file but a pipe, a socket or a device.");
        return target;
    }

    /// <summary>Gets the name of a new temporary file, and the pattern of the names of all temporary files of a target.</summary>
    /// <remarks>The names contain a hash of the target's name, which may itself be as long as the file system allows.</remarks>
    private static (string Temporary, string Pattern) TemporaryNames(string target)
    {
        string hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Path.GetFileName(target))).AsSpan(0, 8));
        return (Path.Combine(Path.GetDirectoryName(target)!, $".{hash}.{Guid.NewGuid():N}.tmp"), $".{hash}.*.tmp");
    }

    /// <summary>Removes the temporary file of a write that failed. An error of that would hide why it failed.</summary>
    private static void Remove(string temporary)
    {
        try
        {
            File.Delete(temporary);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The folder is gone, or can no longer be written. The next write to the same target tries again.
        }
    }

    /// <summary>Removes the temporary files of processes that ended while they wrote the target. A file that a process is writing is locked.</summary>
    private static void RemoveRemains(string target, string pattern)
    {
        foreach (string remains in Directory.EnumerateFiles(Path.GetDirectoryName(target)!, pattern))
        {
            try
            {
                new FileStream(remains, FileMode.Open, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.DeleteOnClose).Dispose();
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                // It is in use, or belongs to another user.
            }
        }
    }
}
