namespace RepVgg.Samples.Workflow;

/// <summary>The folder that results are written to.</summary>
internal static class OutputFolder
{
    /// <summary>Makes the folder, and makes sure that files can be written there, before any long work.</summary>
    /// <exception cref="IOException">It cannot be made or written.</exception>
    public static void Prepare(string folder)
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
}
