using Microsoft.ML.RepVgg;
using RepVgg.Samples.Web.Settings;

namespace RepVgg.Samples.Web.Models;

/// <summary>The model that requests use. It can be replaced at any time; the old one is disposed when the last request that uses it ends.</summary>
internal sealed class ModelStore : IDisposable
{
    private readonly string _path;
    private readonly RepVggLoadOptions _options;
    private LoadedModel _current;
    private string? _reloadError;

    /// <summary>Loads the model.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="InvalidDataException">The file contains no model that classifies images.</exception>
    public ModelStore(ServerOptions options)
    {
        _path = Path.GetFullPath(options.Model!);
        _options = new RepVggLoadOptions { MaximumImagePixels = options.MaximumPixels, NumberOfThreads = options.Threads };
        _current = Load();
    }

    /// <summary>The name of the file, without its folder.</summary>
    public string FileName => Path.GetFileName(_path);

    /// <summary>Why the file as it is now could not be loaded; null if it could.</summary>
    public string? ReloadError => Volatile.Read(ref _reloadError);

    /// <summary>Gets the model for one request, which disposes the lease at its end.</summary>
    /// <exception cref="ObjectDisposedException">The server has stopped.</exception>
    public ModelLease Use()
    {
        while (true)
        {
            var model = Volatile.Read(ref _current);
            if (model.TryAddUser())
                return new ModelLease(model);
            // The model was replaced, and disposed, since it was read; or there is none any more.
            ObjectDisposedException.ThrowIf(model == Volatile.Read(ref _current), this);
        }
    }

    /// <summary>Gets the version of the file as it is now.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public FileVersion ReadVersion() => FileVersion.Read(_path);

    /// <summary>Loads the file and replaces the model. If it cannot be loaded, the old model stays.</summary>
    /// <returns>Why the file cannot be loaded; null if it was.</returns>
    public string? Reload()
    {
        try
        {
            var old = Interlocked.Exchange(ref _current, Load());
            old.RemoveUser();
            Volatile.Write(ref _reloadError, null);
        }
        catch (Exception error)
        {
            // Whatever is wrong with the file, the server goes on with the model that it has.
            Volatile.Write(ref _reloadError, error.Message);
        }
        return _reloadError;
    }

    /// <summary>Gives up the model. It is disposed when no request uses it.</summary>
    public void Dispose() => _current.RemoveUser();

    private LoadedModel Load()
    {
        // Read before the content: a later change of the file is noticed.
        var version = ReadVersion();
        return new LoadedModel(new ImageClassifier(_path, _options), version);
    }
}

/// <summary>A model and the number of its users: the store, while it is the current one, and requests.</summary>
internal sealed class LoadedModel(ImageClassifier classifier, FileVersion version)
{
    private int _users = 1;

    public ImageClassifier Classifier => classifier;

    public FileVersion Version => version;

    public DateTimeOffset LoadedAt { get; } = DateTimeOffset.UtcNow;

    public bool TryAddUser()
    {
        int users = Volatile.Read(ref _users);
        while (users > 0)
        {
            int seen = Interlocked.CompareExchange(ref _users, users + 1, users);
            if (seen == users)
                return true;
            users = seen;
        }
        return false;
    }

    public void RemoveUser()
    {
        if (Interlocked.Decrement(ref _users) == 0)
            classifier.Dispose();
    }
}

/// <summary>The use of a model by one request.</summary>
internal readonly struct ModelLease(LoadedModel model) : IDisposable
{
    public ImageClassifier Classifier => model.Classifier;

    public FileVersion Version => model.Version;

    public DateTimeOffset LoadedAt => model.LoadedAt;

    public void Dispose() => model.RemoveUser();
}

/// <summary>What tells two contents of a file apart.</summary>
internal readonly record struct FileVersion(DateTime Written, long Length)
{
    public static FileVersion Read(string path)
    {
        // The handle follows symbolic links, as those with which Kubernetes replaces files.
        using var file = File.OpenHandle(path, share: FileShare.ReadWrite | FileShare.Delete);
        return new FileVersion(File.GetLastWriteTimeUtc(file), RandomAccess.GetLength(file));
    }
}
