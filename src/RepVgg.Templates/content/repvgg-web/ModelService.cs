using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.ML.RepVgg;

namespace RepVggNamespace;

/// <summary>The model for all requests. When its file changes, it is loaded again; if that fails, the model before it stays.</summary>
internal sealed class ModelService : BackgroundService, IHealthCheck
{
    private static readonly TimeSpan _interval = TimeSpan.FromSeconds(1);

    private readonly string _path;
    private readonly RepVggLoadOptions _options;
    private readonly ILogger<ModelService> _log;
    private DateTime _loaded;
    private volatile MLModel1.PredictionPool _model;
    private volatile Exception? _error;

    /// <summary>Loads the model.</summary>
    public ModelService(string path, RepVggLoadOptions options, ILogger<ModelService> log)
    {
        (_path, _options, _log) = (path, options, log);
        // Read before the content: a later change of the file is noticed.
        _loaded = ReadTime();
        _model = new MLModel1.PredictionPool(path, options);
    }

    /// <summary>The model as it is now. A request gets it once, so that scores and labels are of the same model.</summary>
    public MLModel1.PredictionPool Model => _model;

    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken) =>
        Task.FromResult(_error is { } error ? HealthCheckResult.Degraded("The file of the model has changed, but cannot be loaded.", error) : HealthCheckResult.Healthy());

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // Other than notifications, looking at the file also works on network drives and in containers.
        using var timer = new PeriodicTimer(_interval);
        var last = _loaded;
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            var written = ReadTime();
            // A file that changed since the last look may still be written.
            bool isStable = written == last;
            last = written;
            if (isStable && written != _loaded)
                Reload(written);
        }
    }

    private void Reload(DateTime written)
    {
        _loaded = written;
        try
        {
            _model = new MLModel1.PredictionPool(_path, _options);
            _error = null;
            _log.LogInformation("{Path} has changed and was loaded.", _path);
        }
        catch (Exception error)
        {
            _error = error;
            _log.LogError(error, "{Path} has changed but cannot be loaded; the model before it stays.", _path);
        }
    }

    private DateTime ReadTime()
    {
        try
        {
            // The handle follows symbolic links, such as those with which Kubernetes replaces files.
            using var file = File.OpenHandle(_path, share: FileShare.ReadWrite | FileShare.Delete);
            return File.GetLastWriteTimeUtc(file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // It may be about to be replaced.
            return _loaded;
        }
    }
}
