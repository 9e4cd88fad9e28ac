using RepVgg.Samples.Web.Settings;

namespace RepVgg.Samples.Web.Models;

/// <summary>Loads the model again when its file changes.</summary>
/// <remarks>It looks at the file from time to time, which, other than notifications, also works on network drives and in containers.</remarks>
internal sealed partial class ModelReloader(ModelStore models, ServerOptions options, ILogger<ModelReloader> log) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(options.ReloadInterval);
        FileVersion tried, previous;
        using (var model = models.Use())
            tried = previous = model.Version;
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            if (ReadVersion() is not { } version)
                continue;
            // A file that changed since the last look may still be written.
            bool isStable = version == previous;
            previous = version;
            if (!isStable || version == tried)
                continue;
            tried = version;
            if (models.Reload() is { } error)
                LogFailure(models.FileName, error);
            else
                LogReload(models.FileName);
        }
    }

    private FileVersion? ReadVersion()
    {
        try
        {
            return models.ReadVersion();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // It may be about to be replaced.
            return null;
        }
    }

    [LoggerMessage(LogLevel.Information, "{File} has changed and was loaded.")]
    private partial void LogReload(string file);

    [LoggerMessage(LogLevel.Error, "{File} has changed but cannot be loaded; the model before it stays. {Reason}")]
    private partial void LogFailure(string file, string reason);
}
