using Microsoft.Win32.SafeHandles;

namespace RepVgg.Runtime.Files;

/// <summary>Opens files for reading, with one type of exception for all reasons why a file cannot be opened.</summary>
internal static class InputFile
{
    /// <summary>Opens a file as a stream.</summary>
    /// <param name="path">The file.</param>
    /// <param name="bufferSize">Size of the stream's buffer in bytes.</param>
    /// <exception cref="IOException">The path is a folder, a pipe or a device, or the file does not exist or cannot be read.</exception>
    public static FileStream Open(string path, int bufferSize = 4096) =>
        Open(path, () => new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize));

    /// <summary>Opens a file as a handle.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="IOException">The path is a folder, a pipe or a device, or the file does not exist or cannot be read.</exception>
    public static SafeFileHandle OpenHandle(string path) => Open(path, () => File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read));

    private static T Open<T>(string path, Func<T> open)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        if (FileType.IsStreamOrDevice(path))
            throw new IOException($"'{path}' is not a regular file but a pipe, a socket or a device. Copy what it gives to a file.");
        try
        {
            return open();
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            bool isLink = new FileInfo(path).LinkTarget is not null;
            throw new FileNotFoundException($"'{path}' {(isLink ? "is a link to a file that does not exist" : "does not exist")}.", path, error);
        }
        catch (UnauthorizedAccessException error)
        {
            throw new IOException(
                Directory.Exists(path) ? MisplacedFile.DescribeFolder(path) : $"'{path}' cannot be read: permission is denied.", error);
        }
    }
}
