using Microsoft.Win32.SafeHandles;
using RepVgg.Runtime.Files;

namespace RepVgg.Training.Data;

/// <summary>A temporary file for appending and random reads that is deleted on disposal.</summary>
/// <remarks>
/// Positioned reads and writes are used instead of a memory-mapped file: they are thread-safe and use the same page cache,
/// and a full disk causes an <see cref="IOException"/> instead of a crash of the process.
/// </remarks>
internal sealed class SpillFile : IDisposable
{
    private readonly SafeFileHandle _handle;
    private readonly string _folder;

    public SpillFile(string folder)
    {
        _folder = folder;
        string path = Path.Combine(folder, $"repvgg-{Guid.NewGuid():N}.tmp");
        var options = FileOptions.RandomAccess | (OperatingSystem.IsWindows() ? FileOptions.DeleteOnClose : FileOptions.None);
        try
        {
            _handle = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.Delete, options);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"A temporary file for samples cannot be created in '{folder}': {e.Message} Set the environment variable TMPDIR (TEMP on Windows) to another folder, or raise the memory limit (CacheLimit).", e);
        }
        if (!OperatingSystem.IsWindows())
            File.Delete(path);
    }

    public long Length { get; private set; }

    /// <summary>Appends bytes to the file.</summary>
    /// <returns>Offset of the first written byte.</returns>
    public long Append(ReadOnlySpan<byte> data)
    {
        long offset = Length;
        try
        {
            RandomAccess.Write(_handle, data, offset);
        }
        catch (Exception e) when (e is IOException || WriteErrors.IsTooLarge(e))
        {
            throw new IOException($"The temporary file for samples in '{_folder}' cannot be written: {e.Message} Set the environment variable TMPDIR (TEMP on Windows) to a folder with more free space, or raise the memory limit (CacheLimit).", e);
        }
        Length += data.Length;
        return offset;
    }

    public void Read(Span<byte> destination, long offset)
    {
        while (destination.Length > 0)
        {
            int read = RandomAccess.Read(_handle, destination, offset);
            if (read == 0)
                throw new IOException($"The temporary file for samples in '{_folder}' ended early.");
            destination = destination[read..];
            offset += read;
        }
    }

    public void Dispose() => _handle.Dispose();
}
