namespace RepVgg.Tool.Workflow;

/// <summary>The folder for the results.</summary>
internal static class OutputFolder
{
    /// <summary>Creates the folder and checks that files can be written to it. Call it before a long computation.</summary>
    /// <exception cref="IOException">The folder cannot be created, or files cannot be written to it.</exception>
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
