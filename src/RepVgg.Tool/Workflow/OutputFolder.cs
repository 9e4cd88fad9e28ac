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

    /// <summary>Reserves the folder for this process, until the lock is disposed or the process ends in any way.</summary>
    /// <exception cref="IOException">Another process has reserved it.</exception>
    public static FileStream Lock(string folder)
    {
        string path = Path.Combine(folder, ".lock");
        try
        {
            // The file stays: if it were deleted, another process could hold the lock of the deleted file.
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException($"The folder '{folder}' is in use by another run, or its file .lock cannot be opened: {e.Message.TrimEnd('.')}. Wait until the other run ends, or choose another name.", e);
        }
    }

    /// <summary>Ends a run without a model. A folder that the run created, and in which nothing was trained, is removed, so that its name is free again.</summary>
    /// <param name="folder">The folder of the run.</param>
    /// <param name="inUse">The lock of the folder.</param>
    /// <param name="existed">Whether the folder existed before the run.</param>
    /// <param name="checkpoint">Path of the checkpoint.</param>
    /// <returns>Whether there is a checkpoint.</returns>
    public static bool Release(string folder, FileStream inUse, bool existed, string checkpoint)
    {
        bool hasCheckpoint = File.Exists(checkpoint);
        if (!existed && !hasCheckpoint)
        {
            inUse.Dispose();
            Directory.Delete(folder, recursive: true);
        }
        return hasCheckpoint;
    }
}
