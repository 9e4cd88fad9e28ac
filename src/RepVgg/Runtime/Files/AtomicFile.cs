using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;

namespace RepVgg.Runtime.Files;

/// <summary>Writes a file under a temporary name in the folder of its target and renames it when it is complete, so that a partial file is never visible under the target name.</summary>
/// <remarks>
/// If the target is a symbolic link, the file that it refers to is written. Permissions of an existing file are kept. Pipes, sockets
/// and devices are refused. Several threads and processes can write the same target at the same time; the last one to finish replaces the
/// content of the others. A process that ends while it writes leaves its temporary file; the next write to the same target removes it. The
/// temporary file stays open, and thereby locked, until it has the name of the target, so that no other writer removes it.
/// </remarks>
internal static class AtomicFile
{
    private const int Attempts = 10, BufferSize = 1 << 16;

    /// <summary>
    /// The temporary files that this process writes. Its other writers do not try to remove them: one that has opened such a file, and locks it when it has
    /// been renamed and closed, would lock the target for a moment, so that it could not be read.
    /// </summary>
    private static readonly ConcurrentDictionary<string, bool> _written = [];

    /// <summary>Writes or replaces a file.</summary>
    /// <param name="path">The target.</param>
    /// <param name="write">Writes the content to the stream, which is readable and seekable. The file stays open if the stream is closed.</param>
    /// <exception cref="IOException">The file cannot be written; what stood at <paramref name="path"/> before is unchanged.</exception>
    public static void Write(string path, Action<Stream> write)
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
    internal static void Write(string path, string subject, Action<Stream> write)
    {
        string target = Resolve(path, subject);
        string? temporary = null;
        try
        {
            RemoveRemains(target);
            using var file = Create(target, FileOptions.None);
            temporary = file.Name;
            var content = new BufferedStream(new OutputStream(file), BufferSize);
            write(content);
            if (content.CanWrite)
                content.Flush();
            WriteErrors.ToDisk(file);
            if (!OperatingSystem.IsWindows() && File.Exists(target))
                File.SetUnixFileMode(file.SafeFileHandle, File.GetUnixFileMode(target));
            File.Move(temporary, target, overwrite: true);
        }
        catch (Exception error)
        {
            if (temporary is not null)
                Remove(temporary);
            if (error is IOException or UnauthorizedAccessException)
                throw new IOException($"{subject} cannot be written: {Reason(error, temporary)}", error);
            throw;
        }
        finally
        {
            if (temporary is not null)
                _written.TryRemove(temporary, out _);
        }
    }

    /// <summary>Checks that <see cref="Write(string, string, Action{Stream})"/> can create a file. Call it before a long computation.</summary>
    /// <param name="path">The target.</param>
    /// <param name="subject">Name of the file in error messages.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    internal static void CheckWritable(string path, string subject)
    {
        string target = Resolve(path, subject);
        string? temporary = null;
        try
        {
            using var probe = Create(target, FileOptions.DeleteOnClose);
            temporary = probe.Name;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"{subject} cannot be written: {Reason(error, temporary)}", error);
        }
        finally
        {
            if (temporary is not null)
                _written.TryRemove(temporary, out _);
        }
    }

    /// <summary>Gets the reason why a file cannot be written, without the name of the temporary file.</summary>
    private static string Reason(Exception error, string? temporary) =>
        error is UnauthorizedAccessException ? "permission is denied." : error.Message.Replace($" : '{temporary}'", ".", StringComparison.Ordinal);

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

    /// <summary>Creates a temporary file. As long as it is open, <see cref="RemoveRemains"/> does not remove it.</summary>
    private static FileStream Create(string target, FileOptions options)
    {
        // The lock is shared, so that the target can be read as soon as the file has its name. Windows renames an open file only with this permission.
        var creation = new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.ReadWrite,
            Share = FileShare.Read | FileShare.Delete,
            BufferSize = 0,
            Options = options,
        };
        // Nobody can read the content earlier who cannot read the target.
        if (!OperatingSystem.IsWindows() && File.Exists(target))
            creation.UnixCreateMode = File.GetUnixFileMode(target) | UnixFileMode.UserRead | UnixFileMode.UserWrite;
        for (int attempt = 1; ; attempt++)
        {
            string temporary = Path.Combine(Path.GetDirectoryName(target)!, $".{Hash(target)}.{Guid.NewGuid():N}.tmp");
            FileStream file;
            _written[temporary] = true;
            try
            {
                file = new FileStream(temporary, creation);
            }
            catch (IOException error) when (attempt < Attempts && IsSharingViolation(error))
            {
                // A writer of another process opened the file to remove it before it was locked.
                Remove(temporary);
                _written.TryRemove(temporary, out _);
                continue;
            }
            catch
            {
                _written.TryRemove(temporary, out _);
                throw;
            }
            // A writer of another process may also have removed the file before it was locked.
            if (attempt == Attempts || File.Exists(temporary))
                return file;
            file.Dispose();
            _written.TryRemove(temporary, out _);
        }
    }

    /// <summary>Whether a file is locked: EWOULDBLOCK of Linux or of macOS, or ERROR_SHARING_VIOLATION of Windows.</summary>
    private static bool IsSharingViolation(IOException error) => error.HResult is 11 or 35 or unchecked((int)0x80070020);

    /// <summary>Gets a hash of the target's name, which stands in the names of its temporary files because the name may itself be as long as the file system allows.</summary>
    private static string Hash(string target) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Path.GetFileName(target))).AsSpan(0, 8));

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

    /// <summary>Removes the temporary files of processes that ended while they wrote the target. A file that is being written is locked.</summary>
    private static void RemoveRemains(string target)
    {
        foreach (string remains in Directory.EnumerateFiles(Path.GetDirectoryName(target)!, $".{Hash(target)}.*.tmp"))
        {
            if (_written.ContainsKey(remains))
                continue;
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
