using Microsoft.Win32.SafeHandles;

namespace RepVgg.Data;

/// <summary>A temporary file to append to and to read from, gone when disposed.</summary>
/// <remarks>
/// Plain positioned reads rather than a memory map: they are thread-safe, come from the same page cache, and a full
/// disk is an IOException instead of a crash of the process.
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
            throw new IOException($"No temporary file for samples can be made in '{folder}': {e.Message} Name another folder, or allow more memory.", e);
        }
        if (!OperatingSystem.IsWindows())
            File.Delete(path);
    }

    public long Length { get; private set; }

    /// <summary>Writes at the end.</summary>
    /// <returns>Where it lies.</returns>
    public long Append(ReadOnlySpan<byte> data)
    {
        long offset = Length;
        try
        {
            RandomAccess.Write(_handle, data, offset);
        }
        catch (IOException e)
        {
            throw new IOException($"The temporary file for samples in '{_folder}' cannot be written: {e.Message} Name a folder with more room, or allow more memory.", e);
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
