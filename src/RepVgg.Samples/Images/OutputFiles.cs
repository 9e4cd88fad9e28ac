namespace RepVgg.Samples.Images;

/// <summary>Writes files whole or not at all.</summary>
internal static class OutputFiles
{
    /// <summary>Makes the folder, and makes sure that files can be written there, before any long work.</summary>
    /// <exception cref="IOException">It cannot be made or written.</exception>
    public static void PrepareFolder(string folder)
    {
        try
        {
            Directory.CreateDirectory(folder);
            using var probe = File.Create(Path.Combine(folder, $".{Guid.NewGuid():N}.tmp"), 1, FileOptions.DeleteOnClose);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"The output folder '{folder}' cannot be written: {e.Message}", e);
        }
    }

    /// <summary>Has a temporary file written beside the target, and moves it into place when it is complete.</summary>
    public static void Replace(string path, Action<string> write)
    {
        string temporary = $"{path}.{Guid.NewGuid():N}.tmp";
        try
        {
            write(temporary);
            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }
}
